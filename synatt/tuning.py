"""The `tune` job: cross-validation by the method's folds chooses the epoch count of every backbone.

With draws for recipe keys it also searches for their best values, on the same folds.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import manifest, storage
from synatt.constants import unknown_index
from synatt.curves import confusion_matrix, fold_curves, search_curves
from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.fitting import FitSettings, report_folds, training_rows, with_classes
from synatt.foldanswers import DECIDED, FoldAnswers
from synatt.folds import with_folds
from synatt.manifest import Manifest
from synatt.members import soft_label_folds, without
from synatt.openset import Confidence
from synatt.outliers import ORIGINAL, outlier_rows
from synatt.provenance import fingerprint
from synatt.recipe import Backbone, Recipe
from synatt.rehearsal import HELD_OUT_FILE, read_held_out, rehearse, soft_labels
from synatt.searching import Draw, best_sample, with_values
from synatt.selection import Choice, Curves, choose, mean_curve
from synatt.takes import wanted_takes

log = logging.getLogger("synatt")

CHOICE_FILE, CURVES_FILE, UNSEEN_FILE = "epochs.json", "curves.parquet", "unseen.parquet"
SEARCH_FILE, BEST_FILE = "search.parquet", "best.yaml"


@dataclass(frozen=True)
class _Task:
    """What is validated on what.

    Attributes:
        rows: labelled rows with folds, and those that are trained on in every fold.
        outliers: the ones of `rows` that were made.
        key: stands for all that decides the result.
    """

    recipe: Recipe
    rows: Manifest
    outliers: Manifest
    backbones: list[Backbone]
    stage: int
    key: str


def tune(
    rows: Manifest,
    recipe: Recipe,
    output: str,
    stage: int,
    soft: Manifest | None,
    settings: FitSettings,
    draws: Sequence[Draw] = (),
    samples: int = 0,
    first_round: str | None = None,
) -> str:
    """Choose an epoch count for each backbone of `recipe`; with `draws` also the values of the keys they are for.

    Writes `epochs.json` (the choice, with its evidence), `curves.parquet` (every fold's curve), a plot of curves and
    one of confusions per backbone; where folds leave generators or algorithms out `unseen.parquet` (how well each of
    them is told from known speech, see `synatt.unseen`) and `held_out.parquet` (what was said of each held-out row); of
    a search `search.parquet` (every sample), `search.png` and `best.yaml` (the recipe of the best sample).

    Args:
        first_round: output of `tune` for the first stage; the second is then rehearsed with what its folds said, see
            `synatt.rehearsal`.

    Returns:
        the path of `epochs.json`.

    Raises:
        UsageError: `first_round` without soft labels, or without parts to deal them into, or of other rows; a search
            over several backbones; a fold without rows.
        WorkError: a trial failed.
    """
    from synatt.distributed.clips import store_clips
    from synatt.distributed.session import ray_session

    answered = None if first_round is None else read_held_out(first_round)
    if answered is not None and (soft is None or recipe.train.soft_label_folds == 1):
        raise UsageError("--first-round needs soft labels (--soft) and train.soft_label_folds above 1")
    also = [repr(draw) for draw in draws] + [samples] + ([] if answered is None else [_digest(answered)])
    task = _task(rows, recipe, stage, soft, settings, also)
    if draws and len(task.backbones) > 1:
        names = ", ".join(b.name for b in task.backbones)
        raise UsageError(f"a search trains one backbone: choose one with --backbone ({names})")
    target_file = storage.join(output, CHOICE_FILE)
    if storage.is_file(target_file) and storage.read_json(target_file)["fingerprint"] == task.key:
        log.info("the epoch counts are chosen already")
        return target_file
    root = storage.join(output, "_trials", f"tune-{task.key}")
    storage.check_writable(output)
    storage.set_patience(storage.RUN_PATIENCE_S)
    with ray_session(settings.address):
        everything = manifest.concat([rows, task.outliers])
        takes = wanted_takes(task.rows, task.recipe, judged=True)
        clips = store_clips(everything, recipe.clip.read_s, settings.clips or storage.join(output, "_clips"), takes)
        folds = _folds(task, clips.open())
        if answered is not None:
            parts = task.recipe.train.soft_label_folds
            folds = rehearse(folds, soft_labels(answered, task.recipe.require_classes()), parts)
            log.info(
                "held-out rows are taught too, by the first round's answers: %d times, a part each left out", parts
            )
        if draws:
            _search(task, list(draws), samples, folds, clips, root, output)
        else:
            _choose_epochs(task, folds, clips, root, output)
    storage.discard(storage.join(output, "_trials"))
    return target_file


def _digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()


def _task(
    rows: Manifest, recipe: Recipe, stage: int, soft: Manifest | None, settings: FitSettings, also: list[Any]
) -> _Task:
    recipe = with_classes(recipe, rows)
    if recipe.tune.unseen_algorithms:
        # Said before anything is decoded.
        _unknown_and_known(recipe)
    unseen = recipe.tune.unseen_generators
    labelled = with_folds(training_rows(rows, recipe), recipe.tune.folds, recipe.seed, unseen)
    report_folds(labelled)
    outliers = outlier_rows(labelled, recipe)
    # Where soft labels are cross-fitted, a network is taught those of all folds but one: here the first.
    if soft is not None and (soft_folds := soft_label_folds(recipe, soft)):
        soft = without(soft, soft_folds[0])
    chosen = manifest.concat([labelled, *([] if soft is None else [soft]), outliers])
    backbones = [recipe.backbone(name) for name in settings.backbones] or list(recipe.backbones)
    keys = [fingerprint(chosen, recipe, b, stage, recipe.tune.max_epochs) for b in backbones]
    text = "".join([*keys, recipe.tune.model_dump_json(), json.dumps(also)])
    return _Task(recipe, chosen, outliers, backbones, stage, hashlib.sha256(text.encode()).hexdigest()[:12])


def twins(backbones: Sequence[Backbone]) -> dict[str, str]:
    """Backbone -> the first that is the same network but for its seed: its folds stand for both."""
    first: dict[tuple[object, ...], str] = {}
    return {b.name: first.setdefault((b.timm, b.batch), b.name) for b in backbones}


def _unknown_and_known(recipe: Recipe) -> tuple[int, list[int]]:
    """The class of unknown speech, and those of which each fold does without one.

    Raises:
        UsageError: there is none, or nothing known would be left.
    """
    classes = recipe.require_classes()
    unknown = unknown_index(classes)
    if unknown is None or len(classes) < 3:
        raise UsageError(
            "tune.unseen_algorithms: each fold does without one known class, so two are needed, and a class 'unknown'; "
            f"there are {', '.join(classes)}"
        )
    return unknown, [c for c in range(len(classes)) if c != unknown]


def _folds(task: _Task, store: Any) -> dict[int, tuple[Examples, Examples]]:
    from synatt.distributed.tuning import split_folds, without_class

    usable = task.rows.where(np.array([t in store for t in task.rows.column("track")]))
    fold = np.array([-1 if f is None else f for f in usable.column("fold")])
    target = manifest.targets(usable, len(task.recipe.require_classes()))
    use = min(task.recipe.tune.use_folds or task.recipe.tune.folds, task.recipe.tune.folds)
    made = task.outliers
    made_of = dict(zip(made.column("track"), made.column(ORIGINAL), strict=True)) if len(made) else {}
    folds = split_folds(usable.column("track"), target, fold, use, made_of)
    if task.recipe.tune.unseen_algorithms:
        label = dict(zip(usable.column("track"), target.argmax(axis=1).tolist(), strict=True))
        origin = {track: label.get(made_of.get(track, track), -1) for track in label}
        unknown, known = _unknown_and_known(task.recipe)
        folds = {k: without_class(*rows, known[k % len(known)], unknown, origin) for k, rows in folds.items()}
    if empty := [k for k, (train, valid) in folds.items() if not len(train) or not len(valid)]:
        raise UsageError(f"fold {empty[0]} has no rows to train or validate on: lower tune.folds")
    return folds


def _choose_epochs(
    task: _Task, folds: dict[int, tuple[Examples, Examples]], clips: Any, root: str, output: str
) -> None:
    from synatt.distributed.training import worker_count
    from synatt.distributed.tuning import fold_trials
    from synatt.training import make_plan

    workers, _ = worker_count(task.recipe)
    most = task.recipe.tune.max_epochs
    same = twins(task.backbones)
    plans = [make_plan(task.recipe, b, task.stage, most, workers) for b in task.backbones if same[b.name] == b.name]
    count = len(plans) * len(folds)
    log.info("%d trials: %d backbones x %d folds, up to %d epochs", count, len(plans), len(folds), most)
    curves, confusions = fold_trials(plans, task.recipe.tune, folds, clips, root)
    trained = len(curves)
    hopeless = "" if trained == count * most else ", the others had no hope"
    log.info("%d of %d epochs were trained%s", trained, count * most, hopeless)
    said = FoldAnswers.of(task.recipe, task.rows, folds, root)
    _write_choice(task, said.with_decisions(curves), confusions, output, said)


def _write_choice(
    task: _Task,
    curves: pd.DataFrame,
    confusions: dict[str, np.ndarray],
    output: str,
    said: FoldAnswers | None = None,
) -> None:
    choices: dict[str, Choice] = {}
    unseen: list[pd.DataFrame] = []
    held_out: list[pd.DataFrame] = []
    score = DECIDED if DECIDED in curves else "macro_f1"
    for group, rows in curves[curves[score].notna()].groupby("backbone"):
        name = str(group)
        by_fold: Curves = {
            int(str(fold)): dict(zip(part["epoch"].astype(int), part[score], strict=True))
            for fold, part in rows.groupby("fold")
        }
        best = choose(by_fold, task.recipe.tune.one_standard_error)
        # A search keeps no logits, only the temperature that would have suited each fold.
        suited = float(rows.loc[rows["epoch"] == best.epochs, "temperature"].mean())
        how = Confidence(suited)
        if said:
            judged = said.judged(name, best.epochs)
            how = said.confidence(judged)
            unseen.append(said.unseen(judged).assign(backbone=name))
            held_out.append(said.held_out(judged).assign(backbone=name))
        choices[name] = best = replace(best, confidence=how)
        picture = fold_curves(by_fold, mean_curve(by_fold), best.epochs, name)
        storage.write_bytes(storage.join(output, "curves", f"{name}.png"), picture)
        if name in confusions:
            title = f"{name}: {len(by_fold)} folds, each at its best epoch"
            picture = confusion_matrix(confusions[name].tolist(), task.recipe.require_classes(), title)
            storage.write_bytes(storage.join(output, "confusion", f"{name}.png"), picture)
        folds = len(by_fold)
        log.info(
            "%s: %d epochs, macro F1 %.3f +- %.3f over %d folds", name, best.epochs, best.macro_f1, best.spread, folds
        )
    for name, twin in twins(task.backbones).items():
        if name != twin:
            choices[name] = choices[twin]
            log.info("%s: as %s, the same network under another seed", name, twin)
    storage.write_table(storage.join(output, CURVES_FILE), pa.Table.from_pandas(curves, preserve_index=False))
    if any(len(table) for table in unseen):
        _write_unseen(pd.concat(unseen), output)
    if any(len(table) for table in held_out):
        table = pa.Table.from_pandas(pd.concat(held_out), preserve_index=False)
        storage.write_table(storage.join(output, HELD_OUT_FILE), table)
    chosen = {name: choice.as_dict() for name, choice in choices.items()}
    summary = {"fingerprint": task.key, "recipe": task.recipe.name, "backbones": chosen}
    storage.write_json(storage.join(output, CHOICE_FILE), summary)


def _write_unseen(table: pd.DataFrame, output: str) -> None:
    storage.write_table(storage.join(output, UNSEEN_FILE), pa.Table.from_pandas(table, preserve_index=False))
    mean = table[table["score"] == "decision"].groupby("generator")[["auroc", "recall"]].mean().sort_values("auroc")
    worst = mean.iloc[0]
    log.info(
        "unknown speech that a fold was not trained on: AUROC %.3f to %.3f by generator, lowest of %s, "
        "of which %.0f %% is called unknown",
        *(worst["auroc"], mean["auroc"].iloc[-1], mean.index[0], 100 * worst["recall"]),
    )


def _search(
    task: _Task,
    draws: list[Draw],
    count: int,
    folds: dict[int, tuple[Examples, Examples]],
    clips: Any,
    root: str,
    output: str,
) -> None:
    from synatt.distributed.searching import samples
    from synatt.distributed.training import worker_count
    from synatt.training import make_plan

    workers, _ = worker_count(task.recipe)
    (backbone,) = task.backbones
    plan = make_plan(task.recipe, backbone, task.stage, task.recipe.tune.max_epochs, workers)
    log.info("%d samples of %s on %d folds", count, ", ".join(d.key for d in draws), len(folds))
    found = samples(plan, workers, draws, count, folds, clips, root)
    curves = [
        {fold: {int(row["epoch"]): row["macro_f1"] for row in rows} for fold, rows in by.items()} for _, by in found
    ]
    number, best = best_sample(curves, task.recipe.tune.one_standard_error)
    values = found[number][0]
    recipe = with_values(task.recipe, values).model_copy(update={"backbones": (backbone,)})
    log.info("best of %d samples, macro F1 %.3f at epoch %d: %s", len(found), best.macro_f1, best.epochs, values)
    table = [
        {"sample": i, **keys, "fold": fold, **row}
        for i, (keys, by_fold) in enumerate(found)
        for fold, rows in by_fold.items()
        for row in rows
    ]
    storage.write_table(storage.join(output, SEARCH_FILE), pa.Table.from_pylist(table))
    means = [(keys, mean_curve(by)) for (keys, _), by in zip(found, curves, strict=True)]
    storage.write_bytes(storage.join(output, "search.png"), search_curves(means, number, backbone.name))
    storage.write_text(storage.join(output, BEST_FILE), recipe.to_yaml())
    rows = [{"backbone": backbone.name, "fold": fold, **row} for fold, by in found[number][1].items() for row in by]
    _write_choice(task, pd.DataFrame(rows), {}, output)
