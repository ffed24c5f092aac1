"""The `tune` job: cross-validation by the method's folds chooses the epoch count of every backbone."""

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import manifest, storage
from synatt.curves import fold_curves
from synatt.errors import UsageError
from synatt.fitting import FitSettings, report_folds, training_rows, with_classes
from synatt.folds import with_folds
from synatt.manifest import Manifest
from synatt.provenance import fingerprint
from synatt.recipe import Recipe
from synatt.selection import Choice, Curves, choose, mean_curve

log = logging.getLogger("synatt")

CHOICE_FILE, CURVES_FILE = "epochs.json", "curves.parquet"


def tune(rows: Manifest, recipe: Recipe, output: str, stage: int, soft: Manifest | None, settings: FitSettings) -> str:
    """Choose an epoch count for each backbone of `recipe`.

    Writes `epochs.json` (the choice, with its evidence), `curves.parquet` (every fold's curve) and a plot per backbone.

    Returns:
        the path of `epochs.json`.
    """
    from synatt.distributed.clips import store_clips
    from synatt.distributed.session import ray_session
    from synatt.distributed.training import worker_count
    from synatt.distributed.tuning import fold_trials, split_folds
    from synatt.training import make_plan

    recipe = with_classes(recipe, rows)
    labelled = with_folds(training_rows(rows, recipe), recipe.tune.folds, recipe.seed)
    report_folds(labelled)
    chosen = labelled if soft is None else manifest.concat([labelled, soft])
    backbones = [recipe.backbone(name) for name in settings.backbones] or list(recipe.backbones)
    target_file = storage.join(output, CHOICE_FILE)
    keys = [fingerprint(chosen, recipe, b, stage, recipe.tune.max_epochs) for b in backbones]
    key = hashlib.sha256("".join([*keys, recipe.tune.model_dump_json()]).encode()).hexdigest()[:12]
    if storage.is_file(target_file) and storage.read_json(target_file)["fingerprint"] == key:
        log.info("the epoch counts are chosen already")
        return target_file
    with ray_session(settings.address):
        clips = store_clips(rows, recipe.clip.read_s, settings.clips or storage.join(output, "_clips"))
        store = clips.open()
        usable = chosen.where(np.array([t in store for t in chosen.column("track")]))
        fold = np.array([-1 if f is None else f for f in usable.column("fold")])
        target = manifest.targets(usable, len(recipe.require_classes()))
        use = min(recipe.tune.use_folds or recipe.tune.folds, recipe.tune.folds)
        folds = split_folds(usable.column("track"), target, fold, use)
        if empty := [k for k, (train, valid) in folds.items() if not len(train) or not len(valid)]:
            raise UsageError(f"fold {empty[0]} has no rows to train or validate on: lower tune.folds")
        workers, _ = worker_count(recipe)
        plans = [make_plan(recipe, b, stage, recipe.tune.max_epochs, workers) for b in backbones]
        log.info(
            "%d trials: %d backbones x %d folds, up to %d epochs",
            len(plans) * use,
            len(plans),
            use,
            recipe.tune.max_epochs,
        )
        curves = fold_trials(plans, recipe.tune, folds, clips, storage.join(output, "_trials"), f"tune-{key}")
    _write(output, curves, recipe, key)
    storage.delete_dir(storage.join(output, "_trials"))
    return target_file


def _write(output: str, curves: pd.DataFrame, recipe: Recipe, key: str) -> None:
    choices: dict[str, Choice] = {}
    for name, rows in curves.groupby("backbone"):
        by_fold: Curves = {
            int(str(fold)): dict(zip(part["epoch"].astype(int), part["macro_f1"], strict=True))
            for fold, part in rows.groupby("fold")
        }
        best = choose(by_fold, recipe.tune.one_standard_error)
        temperature = float(rows.loc[rows["epoch"] == best.epochs, "temperature"].mean())
        choices[str(name)] = best = replace(best, temperature=temperature)
        picture = fold_curves(by_fold, mean_curve(by_fold), best.epochs, str(name))
        storage.write_bytes(storage.join(output, "curves", f"{name}.png"), picture)
        log.info(
            "%s: %d epochs, macro F1 %.3f +- %.3f over %d folds",
            name,
            best.epochs,
            best.macro_f1,
            best.spread,
            len(by_fold),
        )
    storage.write_table(storage.join(output, CURVES_FILE), pa.Table.from_pandas(curves, preserve_index=False))
    summary = {"fingerprint": key, "recipe": recipe.name, "backbones": {n: c.as_dict() for n, c in choices.items()}}
    storage.write_json(storage.join(output, CHOICE_FILE), summary)
