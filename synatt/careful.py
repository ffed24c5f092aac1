"""A shard that was started before and never finished is staged row by row in a process of its own.

A file that crashes or hangs the decoder would otherwise take its worker down again with every retry. Here it costs
its own row: the child is replaced, and the row says what happened.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

import pyarrow as pa

from synatt.ensemble import EnsemblePlan
from synatt.staging import Units, Windows, failed_units, renumbered, stage_shard

# Seconds that one recording may take; an hour-long one in windows takes some minutes on a slow core.
ROW_LIMIT_S = 600.0


def stage_carefully(
    shard: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None = None, limit_s: float = ROW_LIMIT_S
) -> Iterator[Units]:
    """What `synatt.staging.stage_shard` gives, though a row may kill or stop the process that stages it."""
    pool: ProcessPoolExecutor | None = None
    done = 0
    try:
        for row in range(shard.num_rows):
            pool = pool or ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            one = shard.slice(row, 1)
            try:
                blocks = pool.submit(_stage, one, plan, windows).result(timeout=limit_s)
            except (BrokenProcessPool, TimeoutError) as err:
                what = (
                    f"decoding took longer than {limit_s:.0f} s"
                    if isinstance(err, TimeoutError)
                    else "the decoder crashed on this recording"
                )
                _end(pool)
                pool, blocks = None, [failed_units(one, plan, f"crashed: {what}")]
            for block in blocks:
                yield renumbered(block, done, row, block.last and row == shard.num_rows - 1)
                done += len(block.outcomes)
    finally:
        if pool:
            _end(pool)


def _stage(one: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None) -> list[Units]:
    import torch

    torch.set_num_threads(1)
    return list(stage_shard(one, plan, windows))


def _end(pool: ProcessPoolExecutor) -> None:
    # A hanging child does not hear a polite shutdown.
    for process in list((pool._processes or {}).values()):
        with suppress(ProcessLookupError):
            process.kill()
    pool.shutdown(wait=False, cancel_futures=True)
