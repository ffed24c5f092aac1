"""Ray's trace, made readable."""

import logging
from pathlib import Path
from typing import Any

import pytest

from synatt.distributed import timeline


def event(cat: str, name: str, node: str = "10.0.0.1", worker: str = "worker:a", ts: float = 5e6) -> dict[str, Any]:
    return {"cat": cat, "name": name, "pid": node, "tid": worker, "ts": ts, "dur": 1.0, "ph": "X", "args": {}}


def test_a_task_has_its_name_and_a_worker_its_number() -> None:
    events = [
        event("task::MapBatches(decode)", "ray.data.map_operator._map_task"),
        event("task:execute", "task:execute"),
        event("task::MapWorker(MapBatches(Score)).submit", "submit", "10.0.0.2", "worker:b"),
        event("task::old", "old", ts=1e6),
    ]
    made = timeline.readable(events, start_s=2.0)
    tasks = [e for e in made if e["ph"] == "X"]
    assert [e["name"] for e in tasks] == [
        "MapBatches(decode)",
        "task:execute",
        "MapWorker(MapBatches(Score)).submit",
    ]
    assert tasks[0]["pid"] == tasks[1]["pid"] != tasks[2]["pid"] and tasks[0]["tid"] != tasks[2]["tid"]
    named = {(e["name"], e["pid"], e.get("tid")): e["args"]["name"] for e in made if e["ph"] == "M"}
    assert named["process_name", tasks[2]["pid"], None] == "node 10.0.0.2"
    assert named["thread_name", tasks[2]["pid"], tasks[2]["tid"]] == "worker:b"


def test_the_first_session_within_a_job_writes_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(timeline, "_write", lambda path, start_s: written.append(path))
    with timeline.asked("trace.json"):
        with timeline.kept():
            with timeline.kept():
                pass
            assert not written
        assert written == ["trace.json"]
        with timeline.kept():
            pass
    with timeline.kept():
        pass
    assert written == ["trace.json"]


def test_a_job_that_does_not_use_ray_says_that_there_is_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timeline.log, "propagate", True)
    caplog.set_level(logging.INFO, "synatt")
    with timeline.asked(str(tmp_path / "trace.json")):
        pass
    assert f"nothing ran on Ray: {tmp_path / 'trace.json'} is not written" in caplog.text


def test_a_trace_that_cannot_be_written_does_not_fail_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    def gone() -> list[Any]:
        raise ConnectionError("the cluster is gone")

    monkeypatch.setattr(timeline, "REPORT_S", 0.0)
    monkeypatch.setattr(timeline.log, "propagate", True)
    monkeypatch.setattr(ray, "timeline", gone)
    with timeline.asked(str(tmp_path / "trace.json")), timeline.kept():
        pass
    assert "trace.json is not written: ConnectionError: the cluster is gone" in caplog.text
