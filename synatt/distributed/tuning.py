"""Ray Tune: every (backbone, fold) is a trial that reports macro F1 after each epoch.

A trial trains in one process with one GPU (or CPU); it makes up for the workers of `train` by accumulating their
micro-batches, so the global batch, the learning rate and the per-device batch statistics are those of `train`.
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
from synatt.checkpoints import encode
from synatt.distributed import metrics
from synatt.distributed.clips import Clips
from synatt.distributed.experiments import begin_trial, kept_state, run_experiment, with_one_device
from synatt.distributed.worker import pack, say, unpack
from synatt.feed import Examples
from synatt.recipe import Tune
from synatt.selection import is_hopeless
from synatt.training import Plan, Run, describe
from synatt.validation import HeldOut

log = logging.getLogger("synatt")

# Folder of what the trials keep, below the experiment's.
STATES = "states"


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
    return {int(row["epoch"]): row["macro_f1"] for row in history if "macro_f1" in row}


def fold_trials(
    plans: list[Plan], settings: Tune, folds: dict[int, tuple[Examples, Examples]], clips: Clips, root: str
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Run all (backbone, fold) trials; an experiment below `root` is continued.

    Epochs that are not judged (`tune.judge_every`) are told to Ray Tune with the next one that is.

    Args:
        folds: fold -> (training rows, validation rows).

    Returns:
        one row per backbone, fold and epoch: loss, lr, seconds, and macro_f1, accuracy, temperature where it was judged
        (NaN elsewhere); and by backbone the
        confusion matrix over all folds, each at its own best epoch.

    Raises:
        WorkError: a trial failed; the message is its first cause.
    """
    root = storage.absolute(root)
    given = {"plans": {p.backbone.name: pack(p) for p in plans}, "folds": folds, "clips": clips}
    results = run_experiment(
        with_one_device(train_fold, **given, run_id=os.path.basename(root), states=storage.join(root, STATES)),
        root,
        max(plan.recipe.train.max_failures for plan in plans),
        {
            "backbone": tune.grid_search([plan.backbone.name for plan in plans]),
            "fold": tune.grid_search(sorted(folds)),
        },
        tune.TuneConfig(
            metric="macro_f1",
            mode="max",
            scheduler=FoldMeanScheduler(settings),
            trial_dirname_creator=lambda trial: _trial_name(trial.config),
            trial_name_creator=lambda trial: _trial_name(trial.config),
        ),
    )
    rows: list[dict[str, Any]] = []
    confusions: dict[str, np.ndarray] = {}
    for result in results:
        where = {key: result.metrics["config"][key] for key in ("backbone", "fold")}
        rows += [{**where, **row} for row in json.loads(result.metrics["history"])]
        counts = np.array(json.loads(result.metrics["confusion"]))
        confusions[where["backbone"]] = confusions.get(where["backbone"], np.zeros_like(counts)) + counts
    return pd.DataFrame(rows).sort_values(["backbone", "fold", "epoch"], ignore_index=True), confusions


def _trial_name(config: dict[str, Any]) -> str:
    return f"{config['backbone']}-fold{config['fold']}"


def _held_out(states: str, config: dict[str, Any], epoch: int) -> str:
    """Where a trial keeps what it says of its validation rows after an epoch."""
    return storage.join(states, f"{_trial_name(config)}-epoch{epoch}.npz")


def held_out_rows(root: str, backbone: str, fold: int, epoch: int) -> HeldOut:
    """What a fold's network said of its validation rows after an epoch."""
    path = _held_out(storage.join(storage.absolute(root), STATES), {"backbone": backbone, "fold": fold}, epoch)
    return HeldOut.decode(storage.read_bytes(path))


def train_fold(
    config: dict[str, Any],
    plans: dict[str, Any],
    folds: dict[int, tuple[Examples, Examples]],
    clips: Clips,
    states: str,
    run_id: str,
    log_format: str,
) -> None:
    """A trial; Ray's dashboard shows its name."""
    plan = unpack(plans[config["backbone"]])
    train, valid = folds[config["fold"]]
    about = {"backbone": plan.backbone.name, "fold": config["fold"]}
    device = begin_trial(plan.recipe, log_format, run=run_id, **about)
    name, path = f"{plan.backbone.name} fold {config['fold']}", storage.join(states, f"{_trial_name(config)}.pt")
    state, compared = kept_state(path, device), plan.recipe.tune.judges_unseen
    run = Run(plan, train, valid, clips.open(), device, state=state, with_neighbours=compared)
    if run.progress.epoch:
        say(f"{name} goes on after epoch {run.progress.epoch}", epoch=run.progress.epoch)
    if run.progress.judged:
        # The driver may have been stopped before it had taken in what this state tells.
        _report(run)
    for row in run.epochs():
        say(describe(name, row, plan.epochs), epochs=plan.epochs, **row)
        metrics.trained(run_id, plan.backbone.name, row, plan.epochs, config["fold"])
        judged = "macro_f1" in row
        if judged:
            # Before the state: a trial that goes on after this epoch will not judge it again.
            assert run.held_out is not None, "it was judged just now"
            storage.write_bytes(_held_out(states, config, int(row["epoch"])), run.held_out.encode())
        storage.write_bytes(path, encode(run.state()))
        if judged:
            _report(run)


def _report(run: Run) -> None:
    row = run.progress.judged[-1]
    told = {"history": json.dumps(run.progress.curve), "confusion": json.dumps(run.progress.confusion)}
    tune.report({**row, "epoch": int(row["epoch"]), **told})


def split_folds(
    tracks: list[str], target: np.ndarray, fold: np.ndarray, use: int, made_of: dict[str, str] | None = None
) -> dict[int, tuple[Examples, Examples]]:
    """fold -> (training rows, validation rows); rows of fold -1 (soft labels, outliers) are never validated on.

    Args:
        made_of: outlier -> the track it was made of; while that one is validated on, the outlier is not trained on.
    """
    out, names = {}, np.asarray(tracks, dtype=object)
    source = np.array([(made_of or {}).get(track) for track in tracks], dtype=object)
    for k in range(use):
        held = fold == k
        kept = ~held & ~np.isin(source, names[held])
        out[k] = (Examples(tuple(names[kept]), target[kept]), Examples(tuple(names[held]), target[held]))
    return out


def without_class(
    train: Examples, valid: Examples, gone: int, unknown: int, origin: dict[str, int]
) -> tuple[Examples, Examples]:
    """A fold as if nobody knew class `gone`: not trained on, nor what was made of its clips, and judged as unknown.

    Args:
        origin: the class of each track, or of the one that it was made of.
    """
    kept = np.array([origin[track] != gone for track in train.tracks], dtype=bool)
    target = valid.target.copy()
    rows = valid.target.argmax(axis=1) == gone
    target[rows] = np.eye(target.shape[1], dtype=target.dtype)[unknown]
    left = Examples(tuple(np.array(train.tracks, dtype=object)[kept]), train.target[kept])
    return left, Examples(valid.tracks, target)
