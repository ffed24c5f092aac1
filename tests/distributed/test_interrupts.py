import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest
import ray.util.client
import ray.util.state

from synatt.distributed import interrupts


def sleeper(title: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", title])


@pytest.fixture
def processes() -> "Iterator[list[subprocess.Popen[bytes]]]":
    """A controller, and what a record may name after its controller is gone: another process of the same number."""
    started = [sleeper("ray::TrainController.run"), sleeper("somebody else's")]
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch, processes: "list[subprocess.Popen[bytes]]") -> list[list[object]]:
    asked: list[list[object]] = []

    def list_actors(filters: list[object]) -> list[SimpleNamespace]:
        assert os.environ["RAY_API_SERVER_ADDRESS"] == "10.0.0.1:6379", "not by what else runs here"
        asked.append(filters)
        return [SimpleNamespace(pid=pid) for pid in (*(p.pid for p in processes), None, 2**22 + 1)]

    monkeypatch.setattr(ray.util.state, "list_actors", list_actors)
    context = SimpleNamespace(get_job_id=lambda: "07000000", gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setattr(interrupts, "LOOK_S", 0.01)
    return asked


def test_only_controllers_of_this_job_are_killed(
    processes: "list[subprocess.Popen[bytes]]", records: list[list[object]]
) -> None:
    controller, other = processes
    interrupts.end_runs(lambda: controller.poll() is not None)
    assert controller.returncode == -9
    assert other.poll() is None
    assert "RAY_API_SERVER_ADDRESS" not in os.environ
    assert ("job_id", "=", "07000000") in records[0] and ("class_name", "=", "TrainController") in records[0]


def test_nothing_is_killed_when_all_are_over(processes: "list[subprocess.Popen[bytes]]") -> None:
    interrupts.end_runs(lambda: True)
    assert processes[0].poll() is None


def test_one_that_begins_later_is_killed_too(
    processes: "list[subprocess.Popen[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, _ = processes
    answers = iter([[], [], [psutil.Process(controller.pid)]])
    monkeypatch.setattr(interrupts, "_controllers", lambda: next(answers, []))
    interrupts.end_runs(lambda: controller.poll() is not None)
    assert controller.returncode == -9


def test_it_gives_up_when_they_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "WAIT_S", 0.05)
    asked: list[None] = []
    interrupts.end_runs(lambda: bool(asked.append(None)))
    assert len(asked) > 1, "it waited for them before"


def test_one_that_ends_by_itself_meanwhile_is_no_failure(
    processes: "list[subprocess.Popen[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, _ = processes
    gone = psutil.Process(controller.pid)
    controller.kill()
    controller.wait()
    monkeypatch.setattr(interrupts, "_controllers", lambda: [gone])
    answers = iter([False, True])
    interrupts.end_runs(lambda: next(answers))


def test_where_nobody_knows_them_the_job_ends_all_the_same_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> list[psutil.Process]:
        raise ConnectionError("no dashboard")

    monkeypatch.setattr(interrupts, "_controllers", refuse)
    interrupts.end_runs(lambda: False)
    assert "the trainings under way are not known" in caplog.text and "no dashboard" in caplog.text


def test_a_client_elsewhere_kills_nothing_on_its_own_machine(
    processes: "list[subprocess.Popen[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray.util.client.ray, "is_connected", lambda: True)
    interrupts.end_runs(lambda: False)
    assert processes[0].poll() is None
