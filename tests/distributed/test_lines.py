"""What workers write, as the driver shows it where lines are JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from synatt import logs
from synatt.distributed.lines import json_lines, set_up_worker, shown


@pytest.fixture
def in_json(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    log = logging.getLogger("synatt")
    kept = log.handlers[:], log.level, log.propagate
    logs.set_up(logs.JSON, job="train")
    yield
    logs.set_up(logs.TEXT)
    log.handlers[:], log.level, log.propagate = kept


def test_an_object_of_a_worker_stays_one_and_says_which_worker(in_json: None) -> None:
    own = {"time": "2026-01-01T00:00:00.000+00:00", "level": "info", "message": "epoch 1", "epoch": 1, "loss": 0.5}
    batch = {"lines": [json.dumps(own)], "pid": 7, "ip": "10.0.0.1", "actor_name": "RayTrainWorker", "is_err": True}
    (line,) = json_lines(batch, 0.0)
    assert json.loads(line) == {**own, "worker": "RayTrainWorker", "pid": 7, "node": "10.0.0.1"}


def test_other_lines_of_a_worker_are_wrapped(in_json: None) -> None:
    text = ["plain s3://KEY:s3cret@bucket/x", "", '{"level": "x"}', '"json"', "__ray_tqdm_magic_token__{}"]
    batch = {"lines": text, "pid": 7, "ip": "10.0.0.1", "task_name": "MapBatches(decode)"}
    said = [json.loads(line) for line in json_lines(batch, 86_400.0)]
    assert [line["message"] for line in said] == ["plain s3://bucket/x", '{"level": "x"}', '"json"']
    for line in said:
        assert (line["time"], line["level"]) == ("1970-01-02T00:00:00.000+00:00", "info")
        assert (line["logger"], line["job"], line["worker"]) == ("ray.worker", "train", "MapBatches(decode)")


def test_of_the_autoscalers_log_only_events_are_shown(in_json: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.autoscaler.v2.utils.cached_is_autoscaler_v2", False)
    monkeypatch.setattr("ray._private.worker.autoscaler_log_fyi_printed", True)
    text = ["Node status", "x :event_summary:Adding 1 node(s).", "Pending:"]
    (line,) = json_lines({"lines": text, "pid": "autoscaler", "ip": "10.0.0.1"}, 0.0)
    assert json.loads(line)["message"] == "Adding 1 node(s)."


def test_rays_own_printer_and_loggers_are_back_afterwards(in_json: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray._private.ray_logging import global_worker_stdstream_dispatcher as streams

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(streams, "handlers", [("ray_print_logs", print), ("other", print)])
    # Pytest has handlers of its own there.
    handlers = [h for h in logging.getLogger("ray").handlers if type(h).__module__.startswith("ray.")]
    before = [handler.formatter for handler in handlers]
    with shown():
        assert [name for name, _ in streams.handlers] == ["other", "synatt_json_lines"]
        assert handlers and all(isinstance(handler.formatter, logs.JsonLines) for handler in handlers)
    assert [name for name, _ in streams.handlers] == ["other", "ray_print_logs"]
    assert [handler.formatter for handler in handlers] == before


def test_a_drivers_lines_are_not_set_up_as_a_workers(in_json: None) -> None:
    set_up_worker(logs.TEXT, run="x")
    assert logs.chosen() == logs.JSON
