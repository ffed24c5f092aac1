"""Ray Train: `synatt.training.Run` on many workers with DDP, checkpoints and restarts."""

import logging
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synatt import storage
from synatt.clipstore import ClipStore, plan_shards, write_shard
from synatt.curves import training_curve
from synatt.distributed.session import cause_of, cpu_count, gpu_count
from synatt.distributed.streams import run_tasks
from synatt.errors import SynattError, UsageError, WorkError
from synatt.feed import Examples, Place
from synatt.manifest import Manifest
from synatt.model import save_model
from synatt.recipe import Recipe, build_recipe
from synatt.step import EpochStats
from synatt.training import Plan, Run, describe

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class Clips:
    """A clip store by place and shard names, small enough to send to workers."""

    folder: str
    shards: tuple[str, ...]

    def open(self) -> ClipStore:
        cache = os.path.join(tempfile.gettempdir(), "synatt-clips")
        return ClipStore(self.folder, self.shards, cache)


def store_clips(rows: Manifest, read_s: float, folder: str) -> Clips:
    """Decode all recordings of `rows` into `folder`, as Ray Data tasks; shards that are there are kept."""
    folder = storage.absolute(folder)
    shards = plan_shards(rows.column("track"), rows.column("path"), read_s)
    storage.make_dirs(folder)
    there = {name for name, _ in storage.list_files(folder, recursive=False)}
    todo = [shard for shard in shards if shard.name not in there]
    if todo:
        log.info("decoding %d recordings once for training", sum(len(s.tracks) for s in todo))

    def write(shard: Any) -> int:
        return len(write_shard(folder, shard, read_s))

    run_tasks(write, todo, "decoding")
    return Clips(folder, tuple(shard.name for shard in shards))


def worker_count(recipe: Recipe) -> tuple[int, bool]:
    """(DDP workers, whether each has a GPU) for a recipe on the connected cluster.

    Raises:
        UsageError: a local Ray can never give so many workers.
    """
    gpus = gpu_count()
    workers = recipe.train.workers if isinstance(recipe.train.workers, int) else max(1, gpus)
    have = gpus or int(cpu_count())
    if workers > have and _is_local():
        raise UsageError(
            f"recipe {recipe.name} asks for {workers} workers (train.workers), this machine has {have} "
            f"{'GPUs' if gpus else 'CPUs'}: give --set train.workers=auto, or --address of a cluster"
        )
    if workers > have:
        log.info("waiting for %d workers; the cluster has room for %d now", workers, have)
    return workers, gpus > 0


def _is_local() -> bool:
    import ray

    return len(ray.nodes()) == 1 and "RAY_ADDRESS" not in os.environ and not os.environ.get("RAY_JOB_ID")


def train_backbone(
    plan: Plan, examples: Examples, clips: Clips, model_folder: str, work: str, run_name: str, info: dict[str, Any]
) -> None:
    """Train one backbone to its last epoch and write its model folder; goes on from the newest checkpoint in `work`.

    Args:
        work: folder or URI for checkpoints, shared by all workers.
        run_name: identifies the run in `work`; a run of that name is continued.
        info: goes into `metrics.json`.

    Raises:
        WorkError: training failed more often than `train.max_failures` allows; the message is the first cause.
    """
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    workers, gpu = worker_count(plan.recipe)
    if _is_local():
        # No node is taken away from a single machine: its watcher would only be one more process to start.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    plan = replace(plan, lr_batch=plan.batch * plan.accumulate * workers)
    trainer = TorchTrainer(
        _worker,
        # Plain values: the controller unpickles them too, and should not import what only workers need.
        train_loop_config={
            "plan": _pack(plan),
            "tracks": examples.tracks,
            "target": examples.target,
            "clips": asdict(clips),
            "model_folder": storage.absolute(model_folder),
            "info": info,
        },
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": 1, "GPU": 1} if gpu else {"CPU": 1}
        ),
        run_config=RunConfig(
            name=run_name,
            storage_path=storage.absolute(work),
            failure_config=FailureConfig(max_failures=plan.recipe.train.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig("WARNING"),  # type: ignore[call-arg]
        ),
    )
    try:
        trainer.fit()
    except Exception as err:
        raise WorkError(f"training {plan.backbone.name} failed: {first_failure(err)}") from err


def first_failure(err: BaseException) -> str:
    """The cause of a failed Ray Train or Tune run, without Ray's trail."""
    failures = getattr(err, "worker_failures", None)
    cause = cause_of(next(iter(failures.values())) if failures else err)
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    text = lines[-1].strip() if lines else type(cause).__name__
    if "out of memory" in str(cause).lower():
        return f"{text}; lower the backbone's batch and raise train.accumulate by the same factor"
    return text if isinstance(cause, SynattError) or text.startswith("synatt.") else f"{type(cause).__name__}: {text}"


def _pack(plan: Plan) -> dict[str, Any]:
    # Plain values: the recipe's class need not be pickled.
    return {
        "recipe": plan.recipe.model_dump(mode="json"),
        "backbone": plan.backbone.name,
        "stage": plan.stage,
        "epochs": plan.epochs,
        "accumulate": plan.accumulate,
        "lr_batch": plan.lr_batch,
    }


def unpack(packed: dict[str, Any]) -> Plan:
    """The plan that `_pack` took apart."""
    recipe = build_recipe(dict(packed["recipe"]))
    rest = {key: packed[key] for key in ("stage", "epochs", "accumulate", "lr_batch")}
    return Plan(recipe=recipe, backbone=recipe.backbone(packed["backbone"]), **rest)


def _worker(config: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch
    import torch
    from ray.train import Checkpoint

    quieten_ray()
    plan, context = unpack(config["plan"]), ray.train.get_context()
    place = Place(context.get_world_rank(), context.get_world_size())
    torch.set_num_threads(threads_per_worker(plan.recipe, context.get_local_world_size()))
    resumed = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory() as scratch:
        if resumed:
            resumed.to_directory(scratch)
        run = Run(
            plan,
            Examples(tuple(config["tracks"]), np.asarray(config["target"])),
            None,
            Clips(**config["clips"]).open(),
            place,
            ray.train.torch.get_device(),
            wrap=ray.train.torch.prepare_model,
            reduce=_summed if place.world > 1 else None,
            checkpoint=Path(scratch) if resumed else None,
        )
    if resumed and place.rank == 0:
        say(f"{plan.backbone.name} goes on after epoch {run.progress.epoch}")
    for row in run.epochs():
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if place.rank == 0:
                say(describe(plan.backbone.name, row, plan.epochs))
                run.save(Path(folder))
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(row, checkpoint=checkpoint)
    if place.rank == 0:
        _write_model(run, config)


def quieten_ray() -> None:
    """Ray's libraries log every report and checkpoint; in a worker only their warnings are wanted."""
    # The root logger among them: Ray Train's own lines do not all come from loggers of its name.
    for name in ("", "ray", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.WARNING)


def say(line: str) -> None:
    """A line of progress from a worker, on standard error like the driver's own; standard output is for results."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _write_model(run: Run, config: dict[str, Any]) -> None:
    recipe = run.plan.recipe.model_copy(update={"backbones": (run.plan.backbone,)})
    curve, folder = run.progress.curve, config["model_folder"]
    storage.write_bytes(storage.join(folder, "curve.png"), training_curve(curve, run.plan.backbone.name))
    metrics = {
        **config["info"],
        "epochs": run.plan.epochs,
        "clips": len(run.train_rows),
        "workers": run.place.world,
        "global_batch": run.plan.lr_batch,
        "precision": str(run.precision.dtype or "torch.float32").removeprefix("torch."),
        "device": _device_name(run.precision.device),
        "final_loss": curve[-1]["loss"] if curve else None,
        "seconds": sum(row["seconds"] for row in curve),
        "parameters": sum(p.numel() for p in run.bare.parameters()),
    }
    save_model(folder, run.bare, recipe, metrics, curve)


def _device_name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def threads_per_worker(recipe: Recipe, workers_on_node: int) -> int:
    """torch threads of one CPU worker: the recipe's, else an equal share of the cores this process may use."""
    return recipe.train.threads or max(1, len(os.sched_getaffinity(0)) // workers_on_node)


def _summed(stats: EpochStats) -> EpochStats:
    import ray.train.torch
    import torch
    import torch.distributed as dist

    numbers = torch.tensor([stats.loss, stats.clips], dtype=torch.float64).to(ray.train.torch.get_device())
    dist.all_reduce(numbers)
    # Losses are shares of the global mean, so they add up; times stay this worker's own.
    return replace(stats, loss=float(numbers[0]), clips=int(numbers[1]))
