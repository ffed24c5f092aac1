"""Ray Tune: every (backbone, fold) is a trial that reports macro F1 after each epoch.

A trial trains in one process with one GPU (or CPU); it makes up for the workers of `train` by accumulating their
micro-batches, so the global batch, the learning rate and the per-device batch statistics are those of `train`.

A trial keeps its own state, written whole after every epoch. Ray Tune's record of an experiment says which trials are
over; it may lag behind or be torn when the driver is killed, and then costs the start of a trial but no epoch.
"""

import json
import logging
import os
from typing import Any

import numpy as np
import pandas as pd
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from synatt import storage
from synatt.checkpoints import TornCheckpoint, decode, encode
from synatt.distributed.clips import Clips
from synatt.distributed.session import gpu_count
from synatt.distributed.training import first_failure
from synatt.distributed.worker import pack, quieten_ray, say, threads_per_worker, unpack
from synatt.errors import SynattError, WorkError
from synatt.feed import Examples
from synatt.recipe import Tune
from synatt.selection import is_hopeless
from synatt.training import Plan, Run, describe

log = logging.getLogger("synatt")

# Its tables would go to standard output, which is for results.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

# Ray Tune's own folder below the run's, and how the names of its records start.
EXPERIMENT, RECORD = "experiment", "experiment_state-"


class FoldMeanScheduler(FIFOScheduler):
    """Stops all folds of a backbone once the mean of their curves has stalled; a hard fold alone is not stopped.

    It keeps nothing between calls: each trial's last result carries its whole curve, so that a restored experiment
    decides as the undisturbed one would.
    """

    def __init__(self, settings: Tune) -> None:
        super().__init__()
        self._settings = settings

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        name = trial.config["backbone"]
        curves = {}
        for other in tune_controller.get_trials():
            last = result if other is trial else other.last_result
            if other.config["backbone"] == name and last and "history" in last:
                curves[other.config["fold"]] = _f1_by_epoch(json.loads(last["history"]))
        stop = is_hopeless(curves, result["epoch"], self._settings.grace_epochs, self._settings.patience)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE


def _f1_by_epoch(history: list[dict[str, float]]) -> dict[int, float]:
    return {int(row["epoch"]): row["macro_f1"] for row in history}


def fold_trials(
    plans: list[Plan], settings: Tune, folds: dict[int, tuple[Examples, Examples]], clips: Clips, work: str, name: str
) -> pd.DataFrame:
    """Run all (backbone, fold) trials; an experiment of the same `name` below `work` is continued.

    Args:
        folds: fold -> (training rows, validation rows).

    Returns:
        one row per backbone, fold and epoch: loss, lr, macro_f1, accuracy, temperature, seconds.

    Raises:
        WorkError: a trial failed; the message is its first cause.
    """
    gpus = gpu_count()
    root = storage.join(storage.absolute(work), name)
    given = {"plans": {p.backbone.name: pack(p) for p in plans}, "folds": folds, "clips": clips}
    trainable = tune.with_resources(
        tune.with_parameters(_trial, **given, states=storage.join(root, "states")),
        {"cpu": 1, "gpu": 1} if gpus else {"cpu": 1},
    )
    experiment = storage.join(root, EXPERIMENT)
    if can_go_on(experiment):
        log.info("going on with the trials in %s", experiment)
        tuner = tune.Tuner.restore(experiment, trainable, resume_unfinished=True, restart_errored=True)
    else:
        storage.delete_dir(experiment)
        tuner = tune.Tuner(
            trainable,
            param_space={
                "backbone": tune.grid_search([plan.backbone.name for plan in plans]),
                "fold": tune.grid_search(sorted(folds)),
            },
            tune_config=tune.TuneConfig(
                metric="macro_f1",
                mode="max",
                scheduler=FoldMeanScheduler(settings),
                trial_dirname_creator=lambda trial: _trial_name(trial.config),
                trial_name_creator=lambda trial: _trial_name(trial.config),
            ),
            run_config=tune.RunConfig(
                name=EXPERIMENT,
                storage_path=root,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=max(plan.recipe.train.max_failures for plan in plans)),
            ),
        )
    results = tuner.fit()
    if results.errors:
        raise WorkError(f"{len(results.errors)} of {len(results)} trials failed: {first_failure(results.errors[0])}")
    rows = []
    for result in (results[i] for i in range(len(results))):
        assert result.metrics is not None
        where = {key: result.metrics["config"][key] for key in ("backbone", "fold")}
        rows += [{**where, **row} for row in json.loads(result.metrics["history"])]
    return pd.DataFrame(rows).sort_values(["backbone", "fold", "epoch"], ignore_index=True)


def can_go_on(experiment: str) -> bool:
    """Whether Ray Tune can restore the experiment in this folder: it was not killed before or while it wrote its state.

    `Tuner.can_restore` alone is true as soon as the experiment is planned; restoring it would then fail for ever.
    """
    if not tune.Tuner.can_restore(experiment):
        return False
    written = [name for name, _ in storage.list_files(experiment, recursive=False) if name.startswith(RECORD)]
    try:
        return bool(written) and "trial_data" in storage.read_json(storage.join(experiment, max(written)))
    except SynattError:
        return False


def _trial_name(config: dict[str, Any]) -> str:
    return f"{config['backbone']}-fold{config['fold']}"


def _trial(
    config: dict[str, Any],
    plans: dict[str, Any],
    folds: dict[int, tuple[Examples, Examples]],
    clips: Clips,
    states: str,
) -> None:
    import torch

    quieten_ray()
    plan = unpack(plans[config["backbone"]])
    train, valid = folds[config["fold"]]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # As many trials as CPUs run side by side, so each keeps to one core unless the recipe says otherwise.
    torch.set_num_threads(plan.recipe.train.threads or max(1, threads_per_worker(plan.recipe, _trials_on_node())))
    name, state = f"{plan.backbone.name} fold {config['fold']}", storage.join(states, f"{_trial_name(config)}.pt")
    run = Run(plan, train, valid, clips.open(), device, state=_kept(state, device))
    if run.progress.epoch:
        say(f"{name} goes on after epoch {run.progress.epoch}")
        # The driver may have been stopped before it had taken in what this state tells.
        _report(run)
    for row in run.epochs():
        say(describe(name, row, plan.epochs))
        storage.write_bytes(state, encode(run.state()))
        _report(run)


def _kept(path: str, device: Any) -> dict[str, Any] | None:
    try:
        return decode(storage.read_bytes(path), device) if storage.is_file(path) else None
    except TornCheckpoint:
        say(f"{path} is torn: that trial starts anew")
        return None


def _report(run: Run) -> None:
    row = run.progress.curve[-1]
    tune.report({**row, "epoch": int(row["epoch"]), "history": json.dumps(run.progress.curve)})


def _trials_on_node() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)) // max(1, len(ray.nodes())))


def split_folds(
    tracks: list[str], target: np.ndarray, fold: np.ndarray, use: int
) -> dict[int, tuple[Examples, Examples]]:
    """fold -> (training rows, validation rows); rows of fold -1 (soft labels) are always trained on."""
    out = {}
    for k in range(use):
        held = fold == k
        names = np.asarray(tracks, dtype=object)
        out[k] = (Examples(tuple(names[~held]), target[~held]), Examples(tuple(names[held]), target[held]))
    return out
