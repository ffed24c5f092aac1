"""`cluster/with_nodes.py` asks for nodes, waits, runs, and takes its request back whatever happens."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import ray.autoscaler.sdk

from cluster import with_nodes
from tests.cluster.definitions import CLUSTER


class Fake:
    """A cluster that has as many of each node as was asked for, `late` looks later."""

    def __init__(self, late: int = 0) -> None:
        self.asked: list[list[dict[str, float]]] = []
        self.late = late
        self.connected = False

    def init(self, **_: object) -> None:
        self.connected = True

    def shutdown(self) -> None:
        self.connected = False

    def request_resources(self, bundles: list[dict[str, float]]) -> None:
        assert self.connected
        self.asked.append(bundles)

    def cluster_resources(self) -> dict[str, float]:
        self.late -= 1
        have: dict[str, float] = {"CPU": 0}
        for bundle in self.asked[-1] if self.late < 0 else []:
            for name, amount in bundle.items():
                have[name] = have.get(name, 0) + amount
        return have


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    cluster = Fake()
    for name in ("init", "shutdown", "cluster_resources"):
        monkeypatch.setattr(ray, name, getattr(cluster, name))
    monkeypatch.setattr(ray.autoscaler.sdk, "request_resources", cluster.request_resources)
    monkeypatch.setattr(with_nodes, "POLL_S", 0.01)
    before = signal.getsignal(signal.SIGTERM)
    yield cluster
    signal.signal(signal.SIGTERM, before)


def writes(path: Path, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; open({str(path)!r}, 'w').write('ran'); sys.exit({code})"]


def test_the_command_runs_once_the_nodes_are_there(fake: Fake, tmp_path: Path) -> None:
    fake.late = 3
    assert with_nodes.main(["predict=2", "decode=1", "--", *writes(tmp_path / "x")]) == 0
    assert fake.asked == [[{"predict": 1}, {"predict": 1}, {"decode": 1}], []]
    assert (tmp_path / "x").read_text() == "ran"
    assert not fake.connected


def test_the_exit_code_is_that_of_the_command(fake: Fake, tmp_path: Path) -> None:
    assert with_nodes.main(["predict=1", "--", *writes(tmp_path / "x", code=2)]) == 2
    assert fake.asked[-1] == []


def test_nodes_that_do_not_come_end_the_wait(fake: Fake, tmp_path: Path) -> None:
    fake.late = 1_000_000
    assert with_nodes.main(["predict=1", "--minutes", "0.002", "--", *writes(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()
    assert fake.asked[-1] == []


def test_a_stopped_job_ends_its_command_and_takes_its_request_back(fake: Fake) -> None:
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM]).start()
    with pytest.raises(SystemExit) as stop:
        with_nodes.main(["predict=1", "--", sys.executable, "-c", "import time; time.sleep(60)"])
    assert stop.value.code == 128 + signal.SIGTERM
    assert fake.asked[-1] == []


def test_release_takes_back_what_was_left(fake: Fake) -> None:
    assert with_nodes.main(["--release"]) == 0
    assert fake.asked == [[]]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["predict=1"],
        ["--", "true"],
        ["predict", "--", "true"],
        ["predict=0", "--", "true"],
        ["predict=x", "--", "a"],
    ],
)
def test_a_wrong_call_is_a_usage_error(args: list[str]) -> None:
    done = subprocess.run([sys.executable, CLUSTER / "with_nodes.py", *args], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage:" in done.stderr
