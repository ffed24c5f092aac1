"""How long a storage that does not answer is asked again."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from synatt.storage.failures import FAILURES, Reason, why

log = logging.getLogger("synatt")

T = TypeVar("T")

# The first wait and the longest: each is twice the last, shortened at random so that workers do not ask in step.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
# How long driver and workers ask again in the middle of a run, which should survive a short outage.
RUN_PATIENCE_S = 120.0
# A throttled request or a lost packet is nobody's news.
SILENT_S = 0.5

_patience_s = 2.0


def set_patience(seconds: float) -> None:
    """How long this process keeps asking when storage does not answer; 0: not at all.

    At first it is 2 s: a wrong endpoint should fail at once, and a job in the middle of its work should not.
    """
    global _patience_s  # noqa: PLW0603
    _patience_s = seconds


def patiently(call: Callable[[], T]) -> T:
    """The value of `call()`, tried again while it fails for a reason that may pass and patience lasts.

    Raises: what `call` raised last.
    """
    failed_s = give_up_s = None
    wait_s = FIRST_WAIT_S
    while True:
        try:
            value = call()
        except FAILURES as err:
            reason, now_s = why(err), time.monotonic()
            if failed_s is None or give_up_s is None:
                failed_s, give_up_s = now_s, now_s + _patience_s
            if not reason.passes or now_s >= give_up_s:
                if now_s > failed_s:
                    _outage.over(answered=False)
                raise
            if now_s - failed_s > SILENT_S:
                _outage.noticed(reason, _patience_s)
            time.sleep(min(give_up_s - now_s, wait_s * random.uniform(0.5, 1.0)))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        else:
            if failed_s is not None:
                _outage.over(answered=True)
            return value


class _Outage:
    """Many threads wait for the same storage: the log says once that it is gone, and once that it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since_s = 0.0

    def noticed(self, reason: Reason, patience_s: float) -> None:
        with self._lock:
            if not self._since_s:
                self._since_s = time.monotonic()
                log.warning("trying again for %g s: %s", patience_s, reason)

    def over(self, answered: bool) -> None:
        with self._lock:
            if self._since_s and answered:
                log.warning("storage answers again after %.0f s", time.monotonic() - self._since_s)
            self._since_s = 0.0


_outage = _Outage()
