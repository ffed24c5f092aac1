"""A shard that was started before and never finished is staged in a process of its own.

A file that crashes or hangs the decoder would otherwise take its worker down again with every retry. Here it costs its
own row: the child is replaced, and the row says what happened. All that comes before is what the first attempt made,
unit by unit and block by block, so that the two may be mixed.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection

import pyarrow as pa

from synatt.ensemble import EnsemblePlan
from synatt.errors import WorkError
from synatt.predictions import Outcome
from synatt.staging import Unit, Units, Windows, in_blocks, units_by_row

# Seconds that one recording may take, or one window of a long one.
UNIT_LIMIT_S = 600.0
# Seconds that a child may take to start: it imports torch, on a machine that is busy.
START_LIMIT_S = 300.0
# Seconds until a child that has let go of its pipe has ended.
END_S = 5.0


def stage_carefully(
    shard: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None = None, limit_s: float = UNIT_LIMIT_S
) -> Iterator[Units]:
    """What `synatt.staging.stage_shard` gives, though a row may kill or stop the process that stages it.

    Raises:
        WorkError: no process could be started.
    """
    yield from in_blocks(_units(shard, plan, windows, limit_s), plan)


def _units(shard: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None, limit_s: float) -> Iterator[Unit]:
    row = 0
    while row < shard.num_rows:
        child = _Child(shard.slice(row), plan, windows)
        last: Unit | None = None
        try:
            while row < shard.num_rows:
                if unit := child.next(limit_s):
                    last = replace(unit, row=row)
                    yield last
                else:
                    row, last = row + 1, None
        except _LostError as err:
            # The child may be lost when all is said of the row already.
            if last is None or (windows and last.outcome.error is None):
                yield _lost(shard, row, last, str(err))
            row += 1
        finally:
            child.end()


def _lost(shard: pa.RecordBatch, row: int, last: Unit | None, why: str) -> Unit:
    """What follows the unit `last` of a row whose child was lost."""
    known = last.outcome if last else Outcome(shard.column("track")[row].as_py(), shard.column("path")[row].as_py())
    return Unit.failed(row, last.window + 1 if last else 0, replace(known, error=f"crashed: {why}"))


class _LostError(Exception):
    """The child crashed or hangs."""


class _Child:
    """A process that stages rows and sends each unit, and None after the last one of a row."""

    def __init__(self, rows: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None) -> None:
        # A server imports once and forks for every child: that it has no threads makes forking safe.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, rows, plan, windows), daemon=True)
        self._process.start()
        # Only the child has that end now, so that its death ends the pipe.
        theirs.close()
        try:
            self.next(START_LIMIT_S)
        except _LostError:
            self.end()
            raise WorkError(f"the process that decodes recordings apart did not start ({self._ending()})") from None

    def next(self, limit_s: float) -> Unit | None:
        try:
            if not self._pipe.poll(limit_s):
                raise _LostError(f"decoding took longer than {limit_s:.0f} s")
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(END_S)
            raise _LostError(f"the decoder crashed on this recording ({self._ending()})") from None

    def _ending(self) -> str:
        code = self._process.exitcode
        return f"exit code {code}" if code is None or code >= 0 else signal.strsignal(-code) or f"signal {-code}"

    def end(self) -> None:
        # A hanging child does not hear a polite request.
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _work(pipe: Connection, rows: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None) -> None:
    import torch

    torch.set_num_threads(1)
    pipe.send(None)
    for units in units_by_row(rows, plan, windows):
        for unit in units:
            pipe.send(unit)
        pipe.send(None)
