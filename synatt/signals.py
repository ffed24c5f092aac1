"""SIGTERM (`kill`, `timeout`, a pod or a batch system that ends a job) lets a job go as SIGINT does.

Work that is done is kept, what was started is ended, and one line says how to go on.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came. Like its parent it is no `Exception`, so that nobody takes it for a failure of their own."""


def _raise(number: int, frame: Any) -> None:
    # Another one must not disturb what the first one has begun to end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the main thread, for the length of a `with` block."""
    if not _in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def unchanged() -> Iterator[None]:
    """After a `with` block SIGTERM does what it did before, if that was anything of ours.

    Ray's own handlers end the driver in the midst of its work, with a trace of its C++ code; while Ray starts, they are
    what ends it.
    """
    if not _in_main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        if before is _raise:
            raise Terminated from None
        raise
    finally:
        if before is _raise:
            signal.signal(signal.SIGTERM, before)
