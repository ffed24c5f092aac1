"""Ray Data: the manifest streams through decode + log-mel tasks and model actors to Parquet, each file read once.

The manifest is cut into chunks, fixed by its rows. A chunk is one block from end to end and one file in the staging
folder, written by the actor that scored it, whole or not at all; so a rerun does only the chunks that have no file, a
retried chunk overwrites itself, and nothing large passes through the driver.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from synatt import predictions, storage
from synatt.distributed.session import cause_line, cpu_count, gpu_count
from synatt.ensemble import Ensemble, EnsemblePlan
from synatt.errors import SynattError, WorkError
from synatt.predictions import Outcome
from synatt.staging import row_bytes, stage

log = logging.getLogger("synatt")

# A block must stay under Ray Data's 128 MB target, or it would be split and a chunk would be two.
BLOCK_BYTES = 64 << 20
CHUNK_ROWS = 64
PROGRESS_S = 10.0
# Memory of a scoring actor besides its weights: torch itself and the activations of a batch.
SCORE_BYTES = 1 << 30


def chunk_rows(plan: EnsemblePlan) -> int:
    """Rows of a chunk: as many as fit a block with all their log-mels."""
    return max(1, min(CHUNK_ROWS, BLOCK_BYTES // row_bytes(plan)))


def chunk_file(chunk: int) -> str:
    return f"chunk-{chunk:08d}.parquet"


def score_chunks(rows: pa.Table, todo: list[int], plan: EnsemblePlan, staging: str, run: str, members: bool) -> None:
    """Score the chunks `todo` of `rows` (columns track, path) into files below `staging`.

    Raises:
        WorkError: a stage failed; the message is the first cause, not Ray's trail.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    size = chunk_rows(plan)
    blocks = [
        rows.slice(c * size, size).append_column("chunk", pa.array([c] * len(rows.slice(c * size, size)), pa.int64()))
        for c in todo
    ]
    cpus, gpus = cpu_count(), gpu_count()
    # The pool must leave a CPU for the tasks that feed it, or both wait for ever; on one CPU they share it.
    actors = gpus or max(1, int(cpus) // 4)
    share = 1.0 if cpus >= actors + 1 else 0.5
    staged = ray.data.from_arrow(blocks).map_batches(
        _decode_block,  # type: ignore[arg-type]
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"plan": plan},
        num_cpus=share,
    )
    scored = staged.map_batches(
        _ScoreBlock,
        batch_size=None,
        batch_format="numpy",
        zero_copy_batch=True,
        compute=ActorPoolStrategy(min_size=1, max_size=actors),
        fn_constructor_kwargs={
            "plan": plan,
            "staging": staging,
            "run": run,
            "members": members,
            "threads": 0 if gpus else max(1, int(cpus) // actors),
        },
        num_cpus=share,
        num_gpus=1 if gpus else None,
        # Placed where the weights fit. It also keeps the two stages apart: with equal options Ray would fuse them.
        memory=2 * plan.weight_bytes + SCORE_BYTES,
    )
    done = errors = 0
    start = said = time.monotonic()
    total = sum(len(b) for b in blocks)
    try:
        for batch in scored.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            if failure := next((str(f) for f in batch["failure"] if f), None):
                raise WorkError(f"prediction stopped: {failure}")
            done += int(batch["rows"].sum())
            errors += int(batch["errors"].sum())
            if time.monotonic() - said > PROGRESS_S or done == total:
                said = time.monotonic()
                log.info("%s", _progress(done, total, errors, said - start))
    except SynattError:
        raise
    except Exception as err:
        raise WorkError(f"prediction stopped: {cause_line(err)}") from err


def _progress(done: int, total: int, errors: int, seconds: float) -> str:
    rate = done / max(seconds, 1e-9)
    left = (total - done) / max(rate, 1e-9)
    return f"{done:,} / {total:,} clips, {rate:.1f} clips/s, {errors:,} errors, {left:.0f} s left"


def _decode_block(block: pa.Table, plan: EnsemblePlan) -> dict[str, Any]:
    import torch

    # A task has one CPU; more threads than that only fight over it.
    torch.set_num_threads(1)
    outcomes, staged = stage(block.column("track").to_pylist(), block.column("path").to_pylist(), plan)
    return {
        "chunk": np.asarray(block.column("chunk")),
        "track": np.array([o.track for o in outcomes], dtype=object),
        "path": np.array([o.path for o in outcomes], dtype=object),
        # NaN and -1 stand for 'not known', empty for 'no error': numpy blocks have no nulls.
        "duration_s": np.array([np.nan if o.duration_s is None else o.duration_s for o in outcomes]),
        "sample_rate_hz": np.array([o.sample_rate_hz or -1 for o in outcomes], dtype=np.int32),
        "error": np.array([o.error or "" for o in outcomes], dtype=object),
        **staged,
    }


class _ScoreBlock:
    """Actor: all models over one staged block; writes the block's file and passes on only its counts."""

    def __init__(self, plan: EnsemblePlan, staging: str, run: str, members: bool, threads: int) -> None:
        self._plan, self._staging, self._run, self._members, self._threads = plan, staging, run, members, threads
        self._ensemble: Ensemble | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Models are loaded with the first block, not in the constructor: an error there would be retried for ever,
        # here it fails the run and names its cause.
        if self._ensemble is None:
            import torch

            if self._threads:
                torch.set_num_threads(self._threads)
            try:
                self._ensemble = Ensemble(self._plan)
            except SynattError as err:
                return {"rows": np.array([0]), "errors": np.array([0]), "failure": np.array([str(err)], dtype=object)}
        outcomes = [
            Outcome(t, p, None if np.isnan(d) else float(d), None if r < 0 else int(r), e or None)
            for t, p, d, r, e in zip(
                batch["track"], batch["path"], batch["duration_s"], batch["sample_rate_hz"], batch["error"], strict=True
            )
        ]
        probs_NBC = self._ensemble.score({view.key: batch[view.key] for view in self._plan.views})
        name = chunk_file(int(batch["chunk"][0]))
        if self._members:
            table = predictions.members_table(outcomes, probs_NBC, self._plan.names, self._plan.classes, self._run)
            storage.write_table(storage.join(self._staging, "members", name), table)
        table = predictions.table(outcomes, probs_NBC.mean(axis=0), self._plan.classes, self._run)
        storage.write_table(storage.join(self._staging, "predictions", name), table)
        failed = sum(o.error is not None for o in outcomes)
        none = np.array([""], dtype=object)
        return {"rows": np.array([len(outcomes)]), "errors": np.array([failed]), "failure": none}


def run_tasks(work: Callable[[Any], Any], items: list[Any], what: str) -> list[Any]:
    """Apply `work` to every item as Ray Data tasks, in no order; results are small, the work's output is on storage."""
    import ray
    from ray.data import DataContext

    if not items:
        return []
    DataContext.get_current().enable_progress_bars = False
    share = 1.0 if cpu_count() >= 1 else cpu_count()
    ds = ray.data.from_items([{"item": i} for i in range(len(items))], override_num_blocks=len(items))
    held = ray.put(items)

    def one(row: dict[str, Any]) -> dict[str, Any]:
        return {"result": work(ray.get(held)[row["item"]])}

    results: list[Any] = []
    start = said = time.monotonic()
    try:
        for row in ds.map(one, num_cpus=share).iter_rows():
            results.append(row["result"])
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                log.info("%s: %d / %d, %.0f s", what, len(results), len(items), said - start)
    except Exception as err:
        raise WorkError(f"{what} stopped: {cause_line(err)}") from err
    return results
