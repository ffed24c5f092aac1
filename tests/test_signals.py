import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from synatt.signals import Terminated, terminable, unchanged


@pytest.fixture(autouse=True)
def handler() -> Iterator[object]:
    before = signal.getsignal(signal.SIGTERM)
    yield before
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)


def ray_like(number: int, frame: object) -> None:
    raise SystemExit(number)


def test_it_is_an_interrupt_and_no_failure_that_somebody_would_take_in(handler: object) -> None:
    with pytest.raises(KeyboardInterrupt), terminable():
        try:
            terminate()
        except Exception:
            pytest.fail("taken for a failure")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_second_one_does_not_disturb_the_end() -> None:
    cleaned = False
    with pytest.raises(Terminated), terminable():
        try:
            terminate()
        finally:
            terminate()
            cleaned = True
    assert cleaned


def test_a_handler_that_others_set_meanwhile_is_taken_back() -> None:
    with pytest.raises(Terminated), terminable():
        with unchanged():
            signal.signal(signal.SIGTERM, ray_like)
        terminate()


def test_others_that_exit_meanwhile_are_an_interrupt_too() -> None:
    with pytest.raises(Terminated), terminable(), unchanged():
        signal.signal(signal.SIGTERM, ray_like)
        terminate()


def test_where_no_job_runs_others_keep_their_handler() -> None:
    with unchanged():
        signal.signal(signal.SIGTERM, ray_like)
    assert signal.getsignal(signal.SIGTERM) is ray_like
    with pytest.raises(SystemExit), unchanged():
        terminate()


def test_in_a_thread_nothing_is_changed(handler: object) -> None:
    seen: list[object] = []

    def work() -> None:
        with terminable(), unchanged():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]
