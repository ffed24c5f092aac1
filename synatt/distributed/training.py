"""Ray Train: `synatt.distributed.worker.work` on many workers, with restarts, elastic sizes and runs side by side."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any

import numpy as np
from ray.train import UserCallback

from synatt import logs, storage
from synatt.distributed.capacity import Capacity, capacity
from synatt.distributed.clips import Clips
from synatt.distributed.interrupts import end_runs
from synatt.distributed.records import kept_in
from synatt.distributed.session import cause_of
from synatt.distributed.worker import FATAL, pack, work
from synatt.errors import SynattError, UsageError, WorkError
from synatt.feed import Examples
from synatt.recipe import Recipe
from synatt.training import Plan

log = logging.getLogger("synatt")

# What Ray Train keeps of a run; written in place, so a driver that is killed may leave half of it.
SNAPSHOT = "checkpoint_manager_snapshot.json"


def worker_count(recipe: Recipe) -> tuple[int, bool]:
    """(DDP workers, whether each has a GPU) for a recipe on the connected cluster.

    Raises:
        UsageError: it can never give so many workers.
    """
    have = capacity()
    workers, room = share_workers(recipe, have)
    fewest, kind = recipe.train.min_workers or workers, "GPUs" if have.gpus else "CPUs"
    if fewest > room and (_is_local() or have.grows):
        where = f"--{kind.lower()} says {room}" if have.grows else f"this machine has {room} {kind}"
        remedy = f"a larger --{kind.lower()}" if have.grows else "--address of a cluster"
        raise UsageError(
            f"recipe {recipe.name} asks for {fewest} workers (train.workers), {where}: "
            f"give --set train.workers=auto, or {remedy}"
        )
    if not have.gpus and not _is_local():
        log.info("training on CPUs: the cluster has no GPU now, and --gpus does not say that some will come")
    if fewest > room or have.grows:
        log.info("waiting for %d workers until the cluster has room for them", fewest)
    return workers, have.gpus > 0


def share_workers(recipe: Recipe, have: Capacity) -> tuple[int, int]:
    """(workers that a recipe asks for, workers there is room for)."""
    auto = max(1, have.gpus)
    return (recipe.train.workers if isinstance(recipe.train.workers, int) else auto), have.gpus or int(have.cpus)


def side_by_side(workers: int, wanted: int | None) -> int:
    """How many backbones train at once: as many as the user wants, else as there is room for."""
    have = capacity()
    return wanted or max(1, (have.gpus or int(have.cpus)) // workers)


def _is_local() -> bool:
    import ray

    alone = os.environ.get("RAY_ADDRESS", "local") == "local" and not os.environ.get("RAY_JOB_ID")
    return alone and len(ray.nodes()) == 1


@dataclass(frozen=True)
class Job:
    """One backbone to train.

    Attributes:
        train: rows it is trained on.
        workers, gpu: DDP workers, and whether each has a GPU.
        folder: of the finished model.
        scalars: folder of its TensorBoard events.
        run: name of the run's folder below the folder of all runs; a run of that name is continued.
        info: goes into `metrics.json`.
        beside: jobs that share the cluster at a time, this one among them; workers share the cores of a node by it.
        taught: int64, keys of the tracks whose soft labels it is taught, where these are cross-fitted.
    """

    plan: Plan
    train: Examples
    workers: int
    gpu: bool
    folder: str
    scalars: str
    run: str
    info: dict[str, Any]
    beside: int = 1
    taught: np.ndarray | None = None


def train_all(
    jobs: Sequence[Job], valid: Examples | None, clips: Clips, work_folder: str, at_once: int
) -> list[str | None]:
    """Train each job to its last epoch and write its model folder; what is there of a run is gone on with.

    Args:
        valid: rows that are judged after every epoch.
        work_folder: folder or URI for checkpoints, shared by all workers.

    Returns:
        for every job None, or why it failed: one does not stop the others.
    """
    ended = Event()

    def one(job: Job) -> str | None:
        plan = job.plan
        about = logs.fields(backbone=plan.backbone.name, run=job.info["fingerprint"])
        log.info(
            "training %s (%s) on %d clips for %d epochs, %d clips a step",
            *(plan.backbone.name, plan.backbone.timm, len(job.train), plan.epochs, plan.global_batch),
            extra=about,
        )
        try:
            _train(job, valid, clips, work_folder)
        except WorkError as err:
            if ended.is_set():
                return str(err)
            log.error("%s", err, extra={"fields": {**about["fields"], "kind": type(err).__name__}})
            return str(err)
        log.info("%s is trained", plan.backbone.name, extra=about)
        return None

    pool = ThreadPoolExecutor(max(1, min(at_once, len(jobs))))
    running = [pool.submit(one, job) for job in jobs]
    try:
        return [job.result() for job in running]
    finally:
        # Whoever interrupts the job does not wait for its trainings: they end, and go on another time. Their threads
        # must be over before Ray is: one that still asks it for a result ends the process, or hangs with it.
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)
        end_runs(lambda: all(job.done() for job in running))


def _train(job: Job, valid: Examples | None, clips: Clips, work_folder: str) -> None:
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from synatt.distributed.processgroup import GroupConfig

    settings = job.plan.recipe.train
    workers, gpu = job.workers, job.gpu
    if _is_local():
        # No node is taken away from a single machine: its watcher would only be one more process to start.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    work_folder = storage.absolute(work_folder)
    run = storage.join(work_folder, job.run)
    _clear_notes(run)
    trainer = TorchTrainer(
        work,
        # Plain values: the controller unpickles them too, and should not import what only workers need.
        train_loop_config={
            "plan": pack(job.plan),
            "tracks": job.train.tracks,
            "target": job.train.target,
            "valid_tracks": valid.tracks if valid else (),
            "valid_target": valid.target if valid else None,
            "clips": asdict(clips),
            "run": run,
            "model_folder": storage.absolute(job.folder),
            "info": job.info,
            "taught": job.taught,
            "beside": job.beside,
            "log_format": logs.chosen(),
        },
        torch_config=GroupConfig(),
        scaling_config=ScalingConfig(
            num_workers=(settings.min_workers, workers) if settings.min_workers else workers,  # type: ignore[arg-type]
            elastic_resize_monitor_interval_s=settings.resize_s,  # type: ignore[call-arg]
            use_gpu=gpu,
            resources_per_worker={"CPU": 1, "GPU": 1} if gpu else {"CPU": 1},
        ),
        run_config=RunConfig(
            name=job.run,
            **kept_in(work_folder, pickle_credentials=True),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig("WARNING"),  # type: ignore[call-arg]
            callbacks=[Scalars(storage.absolute(job.scalars))],  # type: ignore[list-item]
        ),
    )
    error: str | None = None
    try:
        trainer.fit()
    except Exception as err:
        error = first_failure(err)
    note = storage.join(run, FATAL)
    if storage.is_file(note):
        error = storage.read_json(note)["error"]
    if error:
        raise WorkError(f"training {job.plan.backbone.name} failed: {error}")


def _clear_notes(run: str) -> None:
    """Forget why an earlier run failed, and Ray's list of its checkpoints: the workers look for themselves."""
    storage.make_dirs(run)
    for name in (FATAL, SNAPSHOT):
        if storage.is_file(path := storage.join(run, name)):
            storage.delete_file(path)


def first_failure(err: BaseException) -> str:
    """The cause of a failed Ray Train or Tune run, without Ray's trail."""
    failures = getattr(err, "worker_failures", None)
    cause = cause_of(next(iter(failures.values())) if failures else err)
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    text = lines[-1].strip() if lines else type(cause).__name__
    if "out of memory" in str(cause).lower():
        return (
            f"{text}; lower the backbone's batch and raise train.accumulate by the same factor, "
            "or give --set train.halve_batch=true"
        )
    return text if isinstance(cause, SynattError) or text.startswith("synatt.") else f"{type(cause).__name__}: {text}"


class Scalars(UserCallback):
    """TensorBoard's view of a run: every number of an epoch's report, written where Ray Train's controller runs."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._write: Callable[[dict[str, Any]], None] | None = None

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if self._write is None:
            self._write = scalar_writer(self._folder)
        self._write(metrics[0])


def scalar_writer(folder: str) -> Callable[[dict[str, Any]], None]:
    """A function that adds one epoch's row to a TensorBoard event file in `folder`, which may be in a bucket."""
    # Its SummaryWriter writes in a thread that nobody can wait for; the controller ends right after the last epoch.
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar

    local = folder if not storage.is_uri(folder) else tempfile.mkdtemp(prefix="synatt-tensorboard-")
    os.makedirs(local, exist_ok=True)
    writer = EventsWriter(os.path.join(local, "events"))

    def write(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "epoch":
                writer.write_event(Event(wall_time=time.time(), step=int(row["epoch"]), summary=scalar(name, value)))
        writer.flush()
        if local != folder:
            for name, _ in storage.list_files(local):
                storage.write_bytes(storage.join(folder, name), storage.read_bytes(storage.join(local, name)))

    return write
