"""Ray Data: shards of the worklist stream through decode + log-mel tasks and model actors into staged files.

A worker fetches the rows of its shard itself, and the actor that scored a block writes it as one file, whole or not at
all; what passes through the driver is a shard's number on the way in and a block's counts on the way out. A retried
task writes the files it would have written before. Ray Data's own checkpoints are not used: they load every finished
id before a run starts, and an id may be noted though its row was not written, or the other way round; here the row's
file is the note.

How Ray Data is known to hang or fail, and why it does not here:
- a pool that takes every CPU starves the tasks that feed it, even if only once nodes are lost: the actors reserve
  next to none (`share_out`);
- an exception in an actor's constructor is retried for ever: models are loaded with the first block, and what goes
  wrong there is a value that ends the run;
- with errored blocks allowed, a dead actor of a fixed pool hangs the run (ray-project/ray issue 62746): none are
  allowed, which is Ray's default, and decoding has no errors, only rows that say so;
- many faults in a row end a run (issue 41258): tasks and actors are retried without end, and what kills its worker
  each time is found by the marker it left (`synatt.careful`);
- `repartition` holds everything back (issue 48104): blocks have their size from the task that makes them;
- a task on a node that is cut off the network, its processes alive, is waited for until its connection is given up:
  `session` has that take less than two minutes instead of seven;
- whatever else stands still is named after `--stall-minutes`.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synatt import logs, staged, storage, worklist
from synatt.allocator import keep_freed_memory
from synatt.background import prefetched
from synatt.careful import stage_carefully
from synatt.distributed import metrics
from synatt.distributed.capacity import Capacity, capacity, expected, memory_of_a_core
from synatt.distributed.lines import set_up_worker
from synatt.distributed.session import cause_line, state_of_own_cluster
from synatt.ensemble import Ensemble, EnsemblePlan
from synatt.errors import SynattError, WorkError
from synatt.predictions import Outcome
from synatt.progress import Progress, clock
from synatt.staging import BLOCK_BYTES, Units, Windows, stage_shard

log = logging.getLogger("synatt")

PROGRESS_S = 10.0
# Memory of a scoring actor besides its weights: torch itself and the activations of a batch.
SCORE_BYTES = 1 << 30
# What a scoring actor reserves where it shares the cores with decoding, Ray's least: a thousand of them leave room for
# a task on a node of one CPU.
ACTOR_CPUS = 0.0001
# What a decode task reserves there: one task a core, with something left for the actors. With two a core they are in
# each other's way: 1.4 ms of processor time a clip against 1.1 (64x192, 2 cores).
DECODE_CPUS = 0.9


@dataclass(frozen=True)
class Scoring:
    """All that a worker needs to know of a run; small.

    Attributes:
        work: folder of the worklist.
        staging: folder for the staged files of one segment; `started` below it has a marker for each shard in work.
        segment: file of the worklist.
        tables: which of 'members' and 'embeddings' are wanted besides the units.
        log_format: of the driver's lines, and so of the workers'.
    """

    plan: EnsemblePlan
    run: str
    work: str
    staging: str
    segment: str
    windows: Windows | None
    tables: tuple[str, ...]
    log_format: str = logs.TEXT


@dataclass(frozen=True)
class Pool:
    """How the CPUs and GPUs of a cluster are shared between the two stages.

    Attributes:
        actors: scoring actors at most.
        actor_cpus, actor_gpus: what Ray reserves for each.
        actor_bytes: memory that Ray reserves for each.
        decode_cpus: what Ray reserves for each decode task.
        threads: torch threads of an actor.
    """

    actors: int
    actor_cpus: float
    actor_gpus: int
    actor_bytes: int
    decode_cpus: float
    threads: int


def share_out(have: Capacity, actor_bytes: int, shards: int, core_bytes: float = 0.0) -> Pool:
    """Divide a cluster.

    On GPUs an actor takes one and no CPU, so that decoding has them all. Without, each stage may fill every core:
    whichever is slower gets the time that the other leaves. The actors, one a core, reserve next to nothing, and a
    decode task not quite a core. So neither can take what the other needs to start: a pool of one CPU per actor would
    starve the tasks that feed it, for ever, and so would actors of half a CPU once they have moved from lost nodes
    to those that are left.

    Where nodes come on demand, it is what the actors reserve that brings them. There each takes a core's share of its
    node's memory, or the first node would be room enough for the actors of all.

    Args:
        actor_bytes: memory that an actor needs.
        shards: pieces of work; more actors than that would have nothing to do.
        core_bytes: memory per core of a node, where nodes come on demand.
    """
    if have.gpus:
        return Pool(max(1, min(have.gpus, shards)), 0.0, 1, actor_bytes, 1.0, 0)
    memory = core_bytes * have.cpus if have.grows else have.memory
    actors = max(1, min(int(have.cpus), int(memory * 0.7 / actor_bytes)))
    threads = max(1, int(have.cpus) // actors)
    reserved = max(actor_bytes, int(0.9 * core_bytes)) if have.grows else actor_bytes
    return Pool(max(1, min(actors, shards)), ACTOR_CPUS, 0, reserved, DECODE_CPUS, threads)


def score_shards(todo: Sequence[int], scoring: Scoring, progress: Progress, stall_s: float | None) -> None:
    """Stage and score the shards `todo` of one segment.

    Args:
        stall_s: longest time without any block before the run is given up.

    Raises:
        WorkError: a stage failed or stalled; the message is the first cause, not Ray's trail.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext, ExecutionResources

    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block is passed on once it is full; a larger target would hold the whole shard's log-mels back.
    context.target_max_block_size = BLOCK_BYTES
    have = capacity()
    # Ray Data asks for nodes too, for decoding; more than the user counts on, if not told. What was not said is not
    # limited: nodes that come for their GPUs have CPUs of their own.
    said = expected()
    context.execution_options.resource_limits = ExecutionResources.for_limits(cpu=said.cpus, gpu=said.gpus)
    core_bytes = memory_of_a_core() if have.grows and not have.gpus else 0.0
    pool = share_out(have, 2 * scoring.plan.weight_bytes + SCORE_BYTES, len(todo), core_bytes)
    shards = ray.data.from_items([{"shard": shard} for shard in todo], override_num_blocks=len(todo))
    with warnings.catch_warnings():
        # Ray means to drop `max_retries`, and has no other way yet to say it for the tasks of one stage.
        warnings.simplefilter("ignore", DeprecationWarning)
        blocks = shards.map_batches(
            decode,  # type: ignore[arg-type]
            batch_size=None,
            batch_format="numpy",
            fn_kwargs={"scoring": scoring},
            num_cpus=pool.decode_cpus,
            # Lost nodes must not use up a task's tries; a shard that kills its worker is staged carefully next time.
            max_retries=-1,
        )
    # `map_batches` itself wants a batch size for GPUs, by which it would join blocks: a block is one file of one shard,
    # and how many clips go through a network at once is the ensemble's own affair.
    scored = blocks.map_batches_internal(
        Score,  # type: ignore[arg-type]
        batch_size=None,
        batch_format="numpy",
        zero_copy_batch=True,
        # Of fixed size: a pool that shrinks while decoding is slower loads its models anew each time it grows again.
        compute=ActorPoolStrategy(size=pool.actors),
        fn_constructor_kwargs={"scoring": scoring, "threads": pool.threads},
        num_cpus=pool.actor_cpus,
        num_gpus=pool.actor_gpus or None,
        # Placed where the weights fit. It also keeps the two stages apart: with equal options Ray would fuse them.
        memory=pool.actor_bytes,
    )
    metrics.queued(scoring.run, progress.left)
    batches = scored.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0)
    try:
        for batch in prefetched(batches, 2, stall_s, lambda: WorkError(_stalled(stall_s or 0.0))):
            if failure := next((str(f) for f in batch["failure"] if f), None):
                raise WorkError(f"prediction stopped: {failure}")
            work_s = {name: float(batch[name].sum()) for name in ("decode", "log-mel", "score")}
            progress.add(int(batch["rows"].sum()), int(batch["errors"].sum()), float(batch["audio_s"].sum()), work_s)
            metrics.queued(scoring.run, progress.left)
    except SynattError:
        raise
    except Exception as err:
        raise WorkError(f"prediction stopped: {cause_line(err)}") from err


def _stalled(seconds: float) -> str:
    """What the stages were doing when nothing came for too long."""
    from ray.util.state import list_tasks

    try:
        with state_of_own_cluster():
            tasks = list_tasks(filters=[("state", "!=", "FINISHED")], limit=1000, detail=False, timeout=20)
    except Exception as err:
        return f"no progress for {clock(seconds)}; what the stages do is not known ({cause_line(err)})"
    stages = {"decode": "decode", "score": "Score"}
    found = {
        stage: [str(t.state) for t in tasks if sign in str(t.name) and "FAILED" not in str(t.state)]
        for stage, sign in stages.items()
    }
    running = {stage: sum(s == "RUNNING" for s in states) for stage, states in found.items()}
    waiting = {stage: len(states) - running[stage] for stage, states in found.items()}
    said = "; ".join(f"{stage}: {running[stage]} running, {waiting[stage]} waiting" for stage in stages)
    at = next((stage for stage in ("score", "decode") if running[stage]), None)
    where = f"stage '{at}' does not come to an end" if at else "nothing runs: Ray found no room for the next stage"
    return f"no progress for {clock(seconds)}: {where} ({said}); run the same command again to go on"


def decode(block: dict[str, np.ndarray], scoring: Scoring) -> Iterator[dict[str, Any]]:
    """Task: the units of one shard, as blocks of numpy columns."""
    import torch

    # A task has one core; more threads than that only fight over it.
    torch.set_num_threads(1)
    set_up_worker(scoring.log_format, run=scoring.run)
    keep_freed_memory()
    storage.set_patience(storage.RUN_PATIENCE_S)
    (shard,) = (int(s) for s in block["shard"])
    rows = worklist.read_shard(scoring.work, scoring.segment, shard)
    marker = storage.join(scoring.staging, "started", f"{shard:06d}")
    stage = stage_shard
    if storage.is_file(marker):
        said = "shard %d of %s was started before: its recordings are decoded apart"
        log.warning(said, shard, scoring.segment, extra=logs.fields(stage="decode", shard=shard))
        stage = stage_carefully
    else:
        storage.write_bytes(marker, b"")
    for units in stage(rows, scoring.plan, scoring.windows):
        metrics.worked(scoring.run, "decode", float(units.decode_s.sum()))
        metrics.worked(scoring.run, "log-mel", float(units.logmel_s.sum()))
        yield _packed(shard, units)
    storage.delete_file(marker)


def _packed(shard: int, units: Units) -> dict[str, Any]:
    outcomes = units.outcomes
    return {
        "shard": np.full(len(outcomes), shard, dtype=np.int32),
        "unit": units.first + np.arange(len(outcomes), dtype=np.int32),
        "last": np.r_[np.zeros(len(outcomes) - 1, bool), units.last],
        "row": units.row,
        "window": units.window,
        "start_s": units.start_s,
        "track": np.array([o.track for o in outcomes], dtype=object),
        "path": np.array([o.path for o in outcomes], dtype=object),
        # NaN and -1 stand for 'not known', empty for 'no error': numpy blocks have no nulls.
        "duration_s": np.array([np.nan if o.duration_s is None else o.duration_s for o in outcomes]),
        "sample_rate_hz": np.array([o.sample_rate_hz or -1 for o in outcomes], dtype=np.int32),
        "error": np.array([o.error or "" for o in outcomes], dtype=object),
        "decode_s": units.decode_s,
        "logmel_s": units.logmel_s,
        **units.logmels,
    }


def _unpacked(batch: dict[str, np.ndarray], plan: EnsemblePlan) -> tuple[int, Units]:
    facts = (batch[name] for name in ("track", "path", "duration_s", "sample_rate_hz", "error"))
    outcomes = [
        Outcome(str(t), str(p), None if np.isnan(d) else float(d), None if r < 0 else int(r), str(e) or None)
        for t, p, d, r, e in zip(*facts, strict=True)
    ]
    units = Units(
        int(batch["unit"][0]),
        bool(batch["last"][-1]),
        batch["row"],
        batch["window"],
        batch["start_s"],
        outcomes,
        {view.key: batch[view.key] for view in plan.views},
        batch["decode_s"],
        batch["logmel_s"],
    )
    return int(batch["shard"][0]), units


class Score:
    """Actor: all models over one block; writes the block's files and passes on only its counts."""

    def __init__(self, scoring: Scoring, threads: int) -> None:
        self._scoring, self._threads = scoring, threads
        self._ensemble: Ensemble | None = None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        # Models are loaded with the first block, not in the constructor: an error there would be retried for ever,
        # here it fails the run and names its cause.
        try:
            if self._ensemble is None:
                self._load()
            return self._score(batch)
        except SynattError as err:
            return _counts(failure=str(err))

    def _load(self) -> None:
        import torch

        if self._threads:
            torch.set_num_threads(self._threads)
        set_up_worker(self._scoring.log_format, run=self._scoring.run)
        keep_freed_memory()
        storage.set_patience(storage.RUN_PATIENCE_S)
        self._ensemble = Ensemble(self._scoring.plan)

    def _score(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        assert self._ensemble is not None
        scoring, start = self._scoring, time.perf_counter()
        shard, units = _unpacked(batch, scoring.plan)
        scores = self._ensemble.score(units.logmels, units.tracks)
        tables = staged.tables(units, scores, scoring.plan, scoring.run, scoring.tables)
        # The units come last: where they are, the other tables are too.
        for kind in (*scoring.tables, staged.UNITS):
            storage.write_table(storage.join(scoring.staging, kind, str(staged.Name.of(shard, units))), tables[kind])
        first = units.window == 0
        errors = [o.error for o in units.outcomes if o.error is not None]
        metrics.scored(scoring.run, int(first.sum()), errors, time.perf_counter() - start)
        return _counts(
            int(first.sum()),
            len(errors),
            float(np.nansum(np.where(first, batch["duration_s"], 0.0))),
            float(units.decode_s.sum()),
            float(units.logmel_s.sum()),
            time.perf_counter() - start,
        )


def _counts(
    rows: int = 0,
    errors: int = 0,
    audio_s: float = 0.0,
    decode_s: float = 0.0,
    logmel_s: float = 0.0,
    score_s: float = 0.0,
    failure: str = "",
) -> dict[str, Any]:
    numbers = {"rows": rows, "errors": errors, "audio_s": audio_s}
    work = {"decode": decode_s, "log-mel": logmel_s, "score": score_s}
    return {k: np.array([v]) for k, v in {**numbers, **work}.items()} | {"failure": np.array([failure], dtype=object)}


def one_cpu() -> float:
    """CPUs that a task of one CPU asks for: less only where the whole cluster has less."""
    return min(1.0, capacity().cpus) or 1.0


def run_task(work: Callable[..., Any], *args: Any) -> Any:
    """Call `work(*args)` as a task of one CPU, so that what it holds in memory is not the driver's."""
    import ray

    log_format = logs.chosen()

    def patiently() -> Any:
        set_up_worker(log_format)
        storage.set_patience(storage.RUN_PATIENCE_S)
        return work(*args)

    task = ray.remote(num_cpus=one_cpu())(patiently)
    try:
        return ray.get(task.options(name=work.__name__).remote())
    except ray.exceptions.RayTaskError as err:
        raise err.cause from None


def run_tasks(work: Callable[[Any], Any], items: list[Any], what: str) -> list[Any]:
    """Apply `work` to every item as Ray Data tasks, in no order; results are small, the work's output is on storage."""
    import ray
    from ray.data import DataContext

    if not items:
        return []
    DataContext.get_current().enable_progress_bars = False
    ds = ray.data.from_items([{"item": i} for i in range(len(items))], override_num_blocks=len(items))
    held, log_format = ray.put(items), logs.chosen()

    def one(row: dict[str, Any]) -> dict[str, Any]:
        set_up_worker(log_format)
        storage.set_patience(storage.RUN_PATIENCE_S)
        return {"result": work(ray.get(held)[row["item"]])}

    # What Ray's dashboard calls the tasks.
    one.__name__ = what

    results: list[Any] = []
    start = said = time.monotonic()
    try:
        for row in ds.map(one, num_cpus=one_cpu()).iter_rows():
            results.append(row["result"])
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                log.info("%s: %d / %d, %.0f s", what, len(results), len(items), said - start)
    except Exception as err:
        raise WorkError(f"{what} stopped: {cause_line(err)}") from err
    return results
