"""Asking again: for as long as patience lasts, for what may pass, and with two lines in the log."""

import logging
import threading
from collections.abc import Iterator

import pytest

from synatt import storage
from synatt.storage import patience
from synatt.storage.patience import patiently


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.waits_s: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    yield clock
    storage.set_patience(2.0)


class Storage:
    """Fails with `err` until `back_s`."""

    def __init__(self, clock: Clock, back_s: float, err: Exception | None = None) -> None:
        self.clock, self.back_s = clock, clock.now_s + back_s
        self.err = err or ConnectionResetError("connection reset")
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.clock.now_s < self.back_s:
            raise self.err
        return "answer"


def test_an_outage_shorter_than_patience_is_waited_for(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    storage.set_patience(120)
    with caplog.at_level(logging.INFO, "synatt"):
        assert patiently(Storage(clock, back_s=60)) == "answer"
    assert [r.getMessage() for r in caplog.records] == [
        "trying again for 120 s: storage does not answer, check the network and AWS_ENDPOINT_URL (connection reset)",
        caplog.records[1].getMessage(),
    ]
    assert "storage answers again after" in caplog.text
    doubled = [min(0.1 * 2**n, 5.0) for n in range(len(clock.waits_s))]
    assert all(0.5 * most <= wait <= most for wait, most in zip(clock.waits_s, doubled, strict=True))
    assert len(set(clock.waits_s[-5:])) > 1


@pytest.mark.parametrize("patience_s", [0.0, 2.0, 30.0])
def test_a_longer_one_ends_with_the_error_when_patience_does(clock: Clock, patience_s: float) -> None:
    storage.set_patience(patience_s)
    gone = Storage(clock, back_s=1e9)
    with pytest.raises(ConnectionResetError):
        patiently(gone)
    assert clock.now_s == pytest.approx(1000.0 + patience_s)
    assert (gone.asked > 1) is (patience_s > 0)


@pytest.mark.parametrize(
    "err",
    [
        FileNotFoundError("x"),
        PermissionError("x"),
        OSError("AWS Error ACCESS_DENIED during X operation: x"),
        OSError("AWS Error NO_SUCH_BUCKET during X operation: x"),
        OSError("AWS Error SIGNATURE_DOES_NOT_MATCH during X operation: x"),
    ],
)
def test_what_will_not_pass_is_not_asked_again(clock: Clock, err: Exception) -> None:
    storage.set_patience(120)
    refused = Storage(clock, back_s=1e9, err=err)
    with pytest.raises(OSError):
        patiently(refused)
    assert refused.asked == 1


def test_a_blip_is_no_news(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    assert patiently(Storage(clock, back_s=0.05)) == "answer"
    assert not caplog.records


def test_a_mistake_in_the_program_is_not_asked_again(clock: Clock) -> None:
    wrong = Storage(clock, back_s=1e9, err=TypeError("x"))
    with pytest.raises(TypeError):
        patiently(wrong)
    assert wrong.asked == 1


def test_many_threads_that_wait_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    back, started = threading.Event(), threading.Barrier(8)
    first = threading.local()

    def ask() -> str:
        if not hasattr(first, "asked"):
            first.asked = True
            started.wait()
        if not back.is_set():
            raise ConnectionResetError("connection reset")
        return "answer"

    storage.set_patience(30)
    try:
        threads = [threading.Thread(target=patiently, args=(ask,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        threading.Timer(1.0, back.set).start()
        for thread in threads:
            thread.join()
    finally:
        storage.set_patience(2.0)
    assert [r.getMessage().partition(" ")[0] for r in caplog.records] == ["trying", "storage"]
