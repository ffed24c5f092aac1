"""What a person sees of a long run: a line that renews itself in a terminal, a line per interval in a log."""

import logging
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from synatt import logs

log = logging.getLogger("synatt")

TERMINAL_S, LOG_S = 1.0, 30.0


@dataclass
class Tally:
    """Sums over the blocks that came back.

    Attributes:
        rows, errors: recordings done, and those of them without an answer.
        audio_s: seconds of speech in them.
        work_s: seconds of work by stage ('decode', 'log-mel', 'score'), over all processes.
    """

    rows: int = 0
    errors: int = 0
    audio_s: float = 0.0
    work_s: Counter[str] = field(default_factory=Counter)


class Progress:
    """Counts what is done of `total` rows and says so from time to time.

    Args:
        done: rows an earlier run has finished.
        out: where a terminal's line goes.
    """

    def __init__(self, total: int, done: int = 0, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._terminal = self._out.isatty() and logs.chosen() == logs.TEXT
        self._total, self._before = total, done
        self._start = self._said = time.monotonic()
        self._open = False
        self.tally = Tally()

    def add(self, rows: int, errors: int, audio_s: float, work_s: dict[str, float]) -> None:
        self.tally.rows += rows
        self.tally.errors += errors
        self.tally.audio_s += audio_s
        self.tally.work_s.update(work_s)
        if time.monotonic() - self._said >= (TERMINAL_S if self._terminal else LOG_S):
            self.say()

    @property
    def left(self) -> int:
        """Rows that are not done."""
        return self._total - self._before - self.tally.rows

    def say(self) -> None:
        self._said = time.monotonic()
        line = describe(self.tally, self._before, self._total, self._said - self._start)
        if self._terminal:
            self._out.write(f"\r\x1b[2K{line}")
            self._out.flush()
            self._open = True
        else:
            log.info("%s", line, extra=self._fields(self._said - self._start))

    def finish(self) -> None:
        """Close the terminal's line and say what the run as a whole came to."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        if self._open:
            self._out.write("\r\x1b[2K")
            self._out.flush()
        if self.tally.rows:
            log.info("%s", describe(self.tally, self._before, self._total, seconds), extra=self._fields(seconds))
            log.info("work by stage: %s", shares(self.tally.work_s))

    def _fields(self, seconds: float) -> dict[str, object]:
        rate = self.tally.rows / max(seconds, 1e-9)
        done = self._total - self.left
        return logs.fields(done=done, total=self._total, errors=self.tally.errors, clips_per_s=rate, seconds=seconds)


def describe(tally: Tally, before: int, total: int, seconds: float) -> str:
    """One line: rows done and all, clips/s, hours of audio a second, errors, time left."""
    rate = tally.rows / max(seconds, 1e-9)
    done = before + tally.rows
    left = f"{clock((total - done) / rate)} left" if rate and done < total else "done" if done >= total else "starting"
    hours = tally.audio_s / 3600 / max(seconds, 1e-9)
    return f"{done:,} / {total:,} clips, {rate:.1f} clips/s, {hours:.3f} h of audio/s, {tally.errors:,} errors, {left}"


def shares(work_s: "Counter[str]") -> str:
    """'decode 40 % (12.0 s), ...' of the seconds of work."""
    whole = sum(work_s.values()) or 1.0
    return ", ".join(f"{name} {100 * s / whole:.0f} % ({s:.1f} s)" for name, s in work_s.items())


def clock(seconds: float) -> str:
    """'45 s', '12 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
