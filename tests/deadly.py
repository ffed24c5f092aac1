"""Recordings that crash or hang whatever decodes them, without a codec that does.

How many seconds are read is multiplied with a file's sampling rate before its first sample is decoded. A number of
seconds that is `Deadly` looks at the rate then, so that it is the file that decides, in whatever process.
"""

import os
import signal
import time
from multiprocessing.connection import Connection

import pyarrow as pa

from synatt.predictions import Outcome
from synatt.staging import Unit

CRASH_HZ, HANG_HZ = 11_025, 22_050


class Deadly(float):
    def __mul__(self, rate_hz: float) -> float:
        if rate_hz == CRASH_HZ:
            os.kill(os.getpid(), signal.SIGSEGV)
        if rate_hz == HANG_HZ:
            time.sleep(600)
        return float(self) * rate_hz


def send_windows(pipe: Connection, rows: pa.RecordBatch, plan: object, windows: object, crash: str) -> None:
    """In place of decoding: three windows of each row, of which those of `t1` come to a bad end."""
    pipe.send(None)
    for row, track in enumerate(rows.column("track").to_pylist()):
        ok = [Unit(row, window, 0.0, Outcome(track, "", 9.5, 8_000), None, 0.0, 0.0) for window in range(3)]
        for unit in ok if track != "t1" else ok[:2]:
            pipe.send(unit)
        if track == "t1":
            if crash == "at its end":
                pipe.send(Unit.failed(row, 2, Outcome(track, "", error="corrupt: the end")))
            os.kill(os.getpid(), signal.SIGSEGV)
        pipe.send(None)
