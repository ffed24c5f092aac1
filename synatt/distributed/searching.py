"""Ray Tune with Optuna: every sample of recipe keys is a trial that trains all folds side by side, epoch by epoch.

It reports the mean over the folds, so samples are compared on equal terms and a hard fold alone ends none; ASHA stops
those that fall behind.
"""

import json
import os
from typing import Any

from ray import tune

from synatt import storage
from synatt.checkpoints import encode
from synatt.distributed import metrics
from synatt.distributed.clips import Clips
from synatt.distributed.experiments import begin_trial, kept_state, run_experiment, with_one_device
from synatt.distributed.worker import pack, say, unpack
from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.searching import Draw, with_values
from synatt.training import Plan, Run, make_plan

Sample = tuple[dict[str, Any], dict[int, list[dict[str, float]]]]


def samples(
    plan: Plan,
    workers: int,
    draws: list[Draw],
    count: int,
    folds: dict[int, tuple[Examples, Examples]],
    clips: Clips,
    root: str,
) -> list[Sample]:
    """Train `count` samples of `draws`; an experiment below `root` is continued.

    Returns:
        for every sample the values of its keys, and fold -> the rows of its curve that were judged.

    Raises:
        UsageError: Optuna is not installed.
        WorkError: a trial failed.
    """
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    settings, root = plan.recipe.tune, storage.absolute(root)
    try:
        searcher = OptunaSearch(metric="macro_f1", mode="max", seed=plan.recipe.seed)
    except (AssertionError, ImportError):
        raise UsageError("--search needs Optuna: uv run --extra search, or pip install optuna") from None
    grace = min(settings.grace_epochs, plan.epochs)
    results = run_experiment(
        with_one_device(
            train_sample,
            plan=pack(plan),
            workers=workers,
            folds=folds,
            clips=clips,
            states=storage.join(root, "states"),
            run_id=os.path.basename(root),
        ),
        root,
        plan.recipe.train.max_failures,
        {draw.key: _domain(draw) for draw in draws},
        tune.TuneConfig(
            num_samples=count,
            search_alg=searcher,
            scheduler=ASHAScheduler("epoch", "macro_f1", "max", max_t=plan.epochs, grace_period=grace),
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
    )
    return [
        (
            {draw.key: result.metrics["config"][draw.key] for draw in draws},
            {int(k): v for k, v in json.loads(result.metrics["curves"]).items()},
        )
        for result in results
    ]


def _domain(draw: Draw) -> Any:
    if draw.kind == "choice":
        return tune.choice(list(draw.values))
    return {"uniform": tune.uniform, "loguniform": tune.loguniform, "randint": tune.randint}[draw.kind](*draw.values)


def train_sample(
    config: dict[str, Any],
    plan: dict[str, Any],
    workers: int,
    folds: dict[int, tuple[Examples, Examples]],
    clips: Clips,
    states: str,
    run_id: str,
    log_format: str,
) -> None:
    """A trial; Ray's dashboard shows its name."""
    import numpy as np

    base = unpack(plan)
    recipe = with_values(base.recipe, config)
    mine = make_plan(recipe, base.backbone, base.stage, base.epochs, workers)
    trial = tune.get_context().get_trial_id()
    device = begin_trial(recipe, log_format, run=run_id, backbone=mine.backbone.name, sample=trial)
    path = storage.join(states, f"{trial}.pt")
    kept: dict[Any, Any] = kept_state(path, device) or {}
    store = clips.open()
    runs = {k: Run(mine, *rows, store, device, state=kept.get(str(k))) for k, rows in folds.items()}

    def report() -> None:
        judged = {k: run.progress.judged for k, run in runs.items()}
        if not (epochs := {int(rows[-1]["epoch"]) for rows in judged.values() if rows}):
            return
        (epoch,) = epochs
        mean = float(np.mean([rows[-1]["macro_f1"] for rows in judged.values()]))
        line = (
            f"sample {trial} epoch {epoch}/{mine.epochs}: macro F1 {mean:.3f} over {len(runs)} folds, {_said(config)}"
        )
        say(line, epoch=epoch, epochs=mine.epochs, macro_f1=mean, **config)
        tune.report({"epoch": epoch, "macro_f1": mean, "curves": json.dumps(judged)})

    if kept:
        report()
    for rows in zip(*(run.epochs() for run in runs.values()), strict=True):
        for k, row in zip(runs, rows, strict=True):
            metrics.trained(f"{run_id}-{trial}", mine.backbone.name, row, mine.epochs, k)
        storage.write_bytes(path, encode({str(k): run.state() for k, run in runs.items()}))
        if all("macro_f1" in row for row in rows):
            report()


def _said(config: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in config.items())
