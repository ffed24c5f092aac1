"""What runs in each worker of Ray Train: a team, a `Run` from the newest whole checkpoint, a report per epoch."""

import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synatt import logs, storage
from synatt.allocator import keep_freed_memory
from synatt.checkpoints import STATE_FILE, decode, encode, newest_whole
from synatt.crossfit import TaughtTracks
from synatt.curves import confusion_matrix, training_curve
from synatt.distributed import metrics
from synatt.distributed.clips import Clips
from synatt.distributed.lines import set_up_worker
from synatt.errors import UsageError
from synatt.feed import Examples, Place
from synatt.model import save_model
from synatt.recipe import Recipe
from synatt.recipefile import build_recipe
from synatt.step import TrainingError
from synatt.team import DdpTeam, Team
from synatt.training import Plan, Run, describe

log = logging.getLogger("synatt")

# Notes that the workers of one run leave for those that take over from them, and for the driver.
SMALLER, FATAL = "smaller_batch.json", "fatal.json"


def pack(plan: Plan) -> dict[str, Any]:
    """`plan` as plain values, for which a receiver needs none of our classes, with whole paths: it runs elsewhere."""
    recipe = plan.recipe.model_dump(mode="json")
    for section, key in (("weights", "folder"), ("augment", "noise_folder"), ("augment", "room_folder")):
        if recipe[section][key]:
            recipe[section][key] = storage.absolute(recipe[section][key])
    return {
        "recipe": recipe,
        "backbone": plan.backbone.name,
        "stage": plan.stage,
        "epochs": plan.epochs,
        "batch": plan.batch,
        "global_batch": plan.global_batch,
    }


def unpack(packed: dict[str, Any]) -> Plan:
    """The plan that `pack` took apart."""
    recipe = build_recipe(dict(packed["recipe"]))
    rest = {key: packed[key] for key in ("stage", "epochs", "batch", "global_batch")}
    return Plan(recipe=recipe, backbone=recipe.backbone(packed["backbone"]), **rest)


def work(config: dict[str, Any]) -> None:
    """The function that Ray Train calls in every worker.

    An error that would come again is noted for the driver, and the workers that Ray starts anew end at once.
    """
    import ray.train

    quieten_ray()
    set_up_worker(config["log_format"], run=config["info"]["fingerprint"], backbone=config["plan"]["backbone"])
    keep_freed_memory()
    storage.set_patience(storage.RUN_PATIENCE_S)
    note, context = storage.join(config["run"], FATAL), ray.train.get_context()
    if storage.is_file(note):
        return
    plan = unpack(config["plan"])
    smaller = storage.join(config["run"], SMALLER)
    if storage.is_file(smaller):
        plan = replace(plan, batch=int(storage.read_json(smaller)["batch"]))
    try:
        _train(plan, config)
    except storage.StorageError:
        raise
    except (TrainingError, UsageError) as err:
        storage.write_json(note, {"error": str(err)})
        raise
    except Exception as err:
        if is_out_of_memory(err) and plan.recipe.train.halve_batch and plan.batch > 1:
            batch = plan.batch // 2
            storage.write_json(smaller, {"batch": batch})
            say(
                f"{plan.backbone.name} rank {context.get_world_rank()}: out of memory with {plan.batch} clips per "
                f"forward pass; going on with {batch} and more accumulation, {plan.global_batch} a step as before",
                rank=context.get_world_rank(),
                batch=batch,
            )
        raise


def is_out_of_memory(err: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in main memory."""
    return isinstance(err, MemoryError) or "out of memory" in str(err).lower() or "can't allocate" in str(err).lower()


def _train(plan: Plan, config: dict[str, Any]) -> None:
    import ray
    import ray.train.torch
    import torch
    from ray.train import Checkpoint
    from ray.train.collective import barrier, broadcast_from_rank_zero

    context = ray.train.get_context()
    place = Place(context.get_world_rank(), context.get_world_size())
    each_node = -(-config["beside"] * place.world // sum(node["Alive"] for node in ray.nodes()))
    torch.set_num_threads(threads_per_worker(plan.recipe, max(context.get_local_world_size(), each_node)))
    device = ray.train.torch.get_device()
    team = DdpTeam(place, device) if place.world > 1 else Team(place)
    # One worker of a node copies the shards of a bucket to its disk, the others find them there.
    if context.get_local_rank() == 0:
        Clips(**config["clips"]).open()
    barrier()
    # All go by what rank 0 finds: another may see a checkpoint that a dying worker was still writing.
    name = broadcast_from_rank_zero(_newest(config["run"]) if place.rank == 0 else None)
    state = decode(storage.read_bytes(storage.join(config["run"], name)), device) if name else None
    run = Run(
        plan,
        Examples(tuple(config["tracks"]), np.asarray(config["target"])),
        Examples(tuple(config["valid_tracks"]), np.asarray(config["valid_target"])) if config["valid_tracks"] else None,
        Clips(**config["clips"]).open(),
        device,
        team,
        state,
    )
    if place.rank == 0:
        _announce(run)
    for row in run.epochs():
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if place.rank == 0:
                say(describe(plan.backbone.name, row, plan.epochs), epochs=plan.epochs, **row)
                metrics.trained(config["info"]["fingerprint"], plan.backbone.name, row, plan.epochs)
                (Path(folder) / STATE_FILE).write_bytes(encode(run.state()))
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report(row, checkpoint=checkpoint)
    if place.rank == 0:
        _write_model(run, config)


def _newest(run: str) -> str | None:
    """Path below `run` of the newest checkpoint that is whole; Ray names their folders by the time."""
    names = [name for name, _ in storage.list_files(run) if name.endswith(f"/{STATE_FILE}")]
    return newest_whole(sorted(names, reverse=True), lambda name: storage.read_bytes(storage.join(run, name)))


def _announce(run: Run) -> None:
    name, world = run.plan.backbone.name, run.team.place.world
    if run.progress.epoch:
        say(
            f"{name} goes on after epoch {run.progress.epoch}, with {world} worker{'s' if world > 1 else ''}",
            epoch=run.progress.epoch,
        )


def quieten_ray() -> None:
    """Ray's libraries log every report and checkpoint; in a worker only their warnings are wanted."""
    # The root logger among them: Ray Train's own lines do not all come from loggers of its name.
    for name in ("", "ray", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.WARNING)


def say(line: str, **fields: Any) -> None:
    """A line of progress from a worker, on standard error like the driver's own; `fields` are for its JSON object."""
    log.info("%s", line, extra=logs.fields(**fields))


def threads_per_worker(recipe: Recipe, workers_on_node: int) -> int:
    """torch threads of one CPU worker: the recipe's, else an equal share of the cores this process may use."""
    return recipe.train.threads or max(1, len(os.sched_getaffinity(0)) // workers_on_node)


def _write_model(run: Run, config: dict[str, Any]) -> None:
    plan = run.plan
    recipe = plan.recipe.model_copy(update={"backbones": (plan.backbone,)})
    curve, folder = run.progress.curve, config["model_folder"]
    storage.write_bytes(storage.join(folder, "curve.png"), training_curve(curve, plan.backbone.name))
    metrics = {
        **config["info"],
        "epochs": plan.epochs,
        "clips": len(run.train_rows),
        "workers": run.team.place.world,
        "global_batch": plan.global_batch,
        "clips_per_forward_pass": plan.batch,
        "precision": str(run.precision.dtype or "torch.float32").removeprefix("torch."),
        "hardware": hardware(run.precision.device),
        "final_loss": curve[-1]["loss"] if curve else None,
        "seconds": sum(row["seconds"] for row in curve),
        "parameters": sum(p.numel() for p in run.bare.parameters()),
    }
    if run.progress.confusion is not None:
        judged = run.progress.judged
        best = max(judged, key=lambda row: row["macro_f1"])
        metrics |= {"best_epoch": int(best["epoch"]), "best_macro_f1": best["macro_f1"]}
        metrics["final_macro_f1"] = judged[-1]["macro_f1"]
        metrics["confusion"] = {"classes": list(recipe.require_classes()), "counts": run.progress.confusion}
        title = f"{plan.backbone.name}, held-out fold, epoch {best['epoch']:.0f}"
        picture = confusion_matrix(run.progress.confusion, recipe.require_classes(), title)
        storage.write_bytes(storage.join(folder, "confusion.png"), picture)
    taught = None if config["taught"] is None else TaughtTracks(config["taught"])
    save_model(folder, run.judged, recipe, metrics, curve, run.neighbours(), taught)


def hardware(device: Any) -> dict[str, Any]:
    """What the numbers were computed on."""
    import psutil
    import torch

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpus": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
