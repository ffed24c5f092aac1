"""The `train` job: which rows, which backbones, for how many epochs; what is done already is not done again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synatt import logs, manifest, storage
from synatt.errors import UsageError, WorkError
from synatt.feed import Examples
from synatt.folds import check, with_folds
from synatt.inputs import read_inputs
from synatt.manifest import Manifest
from synatt.members import members
from synatt.model import METRICS_FILE, is_model_folder
from synatt.openset import Confidence
from synatt.outliers import outlier_rows
from synatt.provenance import fingerprint, is_done, provenance
from synatt.recipe import Recipe
from synatt.recipefile import load_recipe
from synatt.takes import FAILED, wanted_takes

log = logging.getLogger("synatt")

OVERVIEW_FILE = "backbones.parquet"


@dataclass(frozen=True)
class FitSettings:
    """What the user may choose.

    Attributes:
        backbones: names to train; empty: all of the recipe.
        epochs: chosen epoch counts by backbone; the recipe's own where a name is absent.
        confidences: how logits become probabilities, by backbone.
        clips: folder of decoded training audio, shared between runs; None: below the output.
        address: of a Ray cluster.
        at_once: backbones that are trained side by side; None: as many as there is room for.
    """

    backbones: tuple[str, ...] = ()
    epochs: dict[str, int] = field(default_factory=dict)
    confidences: dict[str, Confidence] = field(default_factory=dict)
    clips: str | None = None
    address: str | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class FitTask:
    """What is to be fitted: labelled rows, a recipe, and the soft-labelled rows of the semi-supervised stage."""

    rows: Manifest
    recipe: Recipe
    soft: Manifest | None

    @property
    def stage(self) -> int:
        """0 supervised, 1 semi-supervised."""
        return 0 if self.soft is None else 1


def read_task(inputs: list[str], recipe: str, overrides: list[str], soft: list[str]) -> FitTask:
    """The task that paths, a recipe's name and `key=value` overrides stand for; soft labels make it the second stage.

    Raises:
        UsageError: one of them cannot be read or used.
    """
    loaded = load_recipe(recipe, overrides)
    labels = manifest.concat([manifest.read(path) for path in soft]) if soft else None
    return FitTask(read_inputs(inputs, loaded.classes), loaded, labels)


def with_classes(recipe: Recipe, rows: Manifest) -> Recipe:
    """`recipe` with the manifest's class names, which must agree with its own where it has any.

    Raises:
        UsageError: they differ, or neither has any.
    """
    if recipe.classes and rows.classes and recipe.classes != rows.classes:
        raise UsageError(f"recipe and manifest disagree on the classes: {recipe.classes} / {rows.classes}")
    named = recipe.classes or rows.classes
    resolved = recipe.model_copy(update={"classes": named})
    resolved.require_classes()
    return resolved


def training_rows(rows: Manifest, recipe: Recipe, soft: Manifest | None = None) -> Manifest:
    """The rows an ensemble trains on.

    Labelled rows outside the evaluation split whose `part` is null or the recipe's, and, in the semi-supervised
    stage, every row of `soft` (both evaluation parts).

    Raises:
        UsageError: nothing is left, or a class has no example.
    """
    table = rows.table
    labelled = pc.or_(pc.is_valid(table.column("label")), pc.is_valid(table.column("p")))
    held_out = pc.fill_null(pc.equal(table.column("split"), "eval"), False)
    part = table.column("part")
    fits = pc.is_null(part) if recipe.part is None else pc.or_kleene(pc.is_null(part), pc.equal(part, recipe.part))
    chosen = rows.where(pc.and_(labelled, pc.and_(pc.invert(held_out), pc.fill_null(fits, False))))
    if soft is not None:
        chosen = manifest.concat([chosen, soft])
    classes = recipe.require_classes()
    share = np.nansum(manifest.targets(chosen, len(classes)), axis=0)
    if not len(chosen):
        raise UsageError("the manifest has no labelled row to train on (split other than 'eval', label or p not null)")
    if empty := [name for name, n in zip(classes, share, strict=True) if n == 0]:
        raise UsageError(f"no training row of class {', '.join(empty)}")
    return chosen


def train(rows: Manifest, recipe: Recipe, output: str, stage: int, soft: Manifest | None, settings: FitSettings) -> str:
    """Train the backbones of `recipe` and write one model folder each below `output`, and a table of them all.

    Args:
        rows: the manifest; its evaluation rows are not trained on.
        stage: 0 supervised, 1 semi-supervised.
        soft: soft-labelled rows to add; cross-fitted ones make a folder of each backbone and fold.

    Returns:
        `output`.

    Raises:
        WorkError: some backbones failed, after all others were trained.
    """
    from synatt.distributed.clips import store_clips
    from synatt.distributed.session import ray_session
    from synatt.distributed.training import Job, side_by_side, train_all, worker_count
    from synatt.training import make_plan

    recipe = with_classes(recipe, rows)
    labelled = training_rows(rows, recipe, soft)
    outliers = outlier_rows(labelled, recipe)
    chosen = manifest.concat([labelled, outliers])
    asked = [recipe.backbone(name) for name in settings.backbones] or list(recipe.backbones)
    everyone = members(recipe, recipe.backbones, stage, soft, settings.epochs, settings.confidences)
    nets, todo = [net for net in everyone if net.made_of in asked], []
    for net in nets:
        key = fingerprint(net.rows(chosen), net.recipe, net.backbone, stage, net.epochs)
        if is_done(storage.join(output, net.backbone.name), key):
            log.info("%s is trained already", net.backbone.name)
        else:
            todo.append((net, key))
    if others := strangers(output, {net.backbone.name for net in everyone}):
        log.warning("other models lie in %s too, and predict would take them as well: %s", output, ", ".join(others))
    if not todo:
        return output
    storage.check_writable(output)
    storage.set_patience(storage.RUN_PATIENCE_S)
    with ray_session(settings.address):
        more = [soft] if soft is not None and not _covers(rows, soft) else []
        everything = manifest.concat([rows, *more, outliers])
        takes = wanted_takes(chosen, recipe, judged=recipe.train.hold_out_fold is not None)
        clips = store_clips(everything, recipe.clip.read_s, settings.clips or storage.join(output, "_clips"), takes)
        store = clips.open()
        for problem in store.problems:
            about = logs.fields(track=problem["track"], kind=problem["kind"])
            what = "not perturbed" if problem["kind"] == FAILED else "not trained on"
            log.info("%s: %s (%s)", what, problem["track"], problem["detail"], extra=about)
        usable = chosen.where(np.array([t in store for t in chosen.column("track")]))
        fit, valid = held_out(usable, recipe)
        info = {
            "stage": stage + 1,
            "data_digest": clips.digest(),
            **provenance(recipe),
        }
        workers, gpu = worker_count(recipe)
        at_once = side_by_side(workers, settings.at_once)
        # Of all backbones, not of those that are left: the number of threads decides the last bits of the weights.
        beside = 1 if gpu else min(at_once, len(nets))
        jobs = [
            Job(
                make_plan(net.recipe, net.backbone, stage, net.epochs, workers),
                net.examples(fit, usable),
                workers,
                gpu,
                storage.join(output, net.backbone.name),
                storage.join(output, "tensorboard", net.backbone.name),
                f"{net.backbone.name}-{key}",
                {"fingerprint": key, "unreadable_clips": len(net.rows(chosen)) - len(net.rows(usable)), **info},
                beside,
                net.taught,
            )
            for net, key in todo
        ]
        failures = train_all(jobs, valid, clips, storage.join(output, "_runs"), at_once)
    errors = {job.plan.backbone.name: why for job, why in zip(jobs, failures, strict=True) if why}
    table = overview(output, [net.backbone.name for net in nets], errors)
    storage.write_table(storage.join(output, OVERVIEW_FILE), pa.Table.from_pandas(table, preserve_index=False))
    log.info("%s", "\n".join(["backbones:", *table.to_string(index=False, na_rep="-").splitlines()]))
    if errors:
        raise WorkError(f"{len(errors)} of {len(jobs)} backbones failed: {next(iter(errors.values()))}")
    storage.discard(storage.join(output, "_runs"))
    return output


def strangers(output: str, names: set[str]) -> list[str]:
    """Model folders in `output` that are called otherwise than `names`, in order."""
    there = set(storage.list_dirs(output)) if storage.is_dir(output) else set()
    return sorted(name for name in there - names if is_model_folder(storage.join(output, name)))


def held_out(rows: Manifest, recipe: Recipe) -> tuple[Examples, Examples | None]:
    """(rows to train on, rows of the fold that is only judged); without `train.hold_out_fold` all are trained on.

    Raises:
        UsageError: the fold is empty, or there is no other.
    """
    target = manifest.targets(rows, len(recipe.require_classes()))
    tracks = np.array(rows.column("track"), dtype=object)
    fold = recipe.train.hold_out_fold
    if fold is None:
        return Examples(tuple(tracks), target), None
    folded = with_folds(rows, recipe.tune.folds, recipe.seed)
    report_folds(folded)
    held = np.array([f == fold for f in folded.column("fold")])
    if held.all() or not held.any():
        raise UsageError(f"train.hold_out_fold={fold}: no rows to judge, there are folds 0 to {recipe.tune.folds - 1}")
    return Examples(tuple(tracks[~held]), target[~held]), Examples(tuple(tracks[held]), target[held])


def report_folds(rows: Manifest) -> None:
    """Warn of what makes a fold's score differ from what a new voice or generator would get."""
    found = check(rows)
    for fold, classes in found.missing.items():
        log.info("warning: fold %d has no row of class %s", fold, ", ".join(classes))
    for fold, classes in found.untrained.items():
        log.info("warning: outside of fold %d there is no row of class %s to train on", fold, ", ".join(classes))
    for what, shared in (("speaker", found.speakers), ("unknown generator", found.generators)):
        if shared:
            log.info("warning: %d %ss stand in several folds, e.g. %s", len(shared), what, next(iter(shared)))


def overview(output: str, names: Sequence[str], errors: dict[str, str]) -> pd.DataFrame:
    """One row per backbone: status, epochs, loss, time and, where a fold was held out, its score."""
    keys = ["epochs", "clips", "final_loss", "final_macro_f1", "best_epoch", "seconds", "workers", "global_batch"]
    rows: list[dict[str, Any]] = []
    for name in names:
        path = storage.join(output, name, METRICS_FILE)
        if name in errors:
            rows.append({"backbone": name, "status": "failed", "error": errors[name]})
        elif storage.is_file(path):
            found = storage.read_json(path)
            rows.append({"backbone": name, "status": "trained", **{k: found.get(k) for k in keys}, "error": None})
    return pd.DataFrame(rows, columns=["backbone", "status", *keys, "error"]).dropna(axis="columns", how="all")


def _covers(rows: Manifest, soft: Manifest) -> bool:
    return bool(
        pc.all(pc.is_in(soft.table.column("track"), value_set=rows.table.column("track").combine_chunks())).as_py()
    )


def read_choice(path: str | None) -> tuple[dict[str, int], dict[str, Confidence]]:
    """Epoch counts and confidences by backbone from `tune`'s `epochs.json` (a file, or the folder that holds it)."""
    if path is None:
        return {}, {}
    file = storage.join(path, "epochs.json") if storage.is_dir(path) else path
    chosen: dict[str, dict[str, Any]] = storage.read_json(file)["backbones"]
    return (
        {name: int(c["epochs"]) for name, c in chosen.items()},
        {name: Confidence(**c["confidence"]) for name, c in chosen.items()},
    )


def only_split(rows: Manifest, split: str | None, parts: Sequence[int] = ()) -> Manifest:
    """Rows of one split and, where given, of some evaluation parts."""
    keep = pc.fill_null(pc.equal(rows.table.column("split"), split), False) if split else pa.array([True] * len(rows))
    if parts:
        keep = pc.and_(keep, pc.is_in(rows.table.column("part"), value_set=pa.array(list(parts), pa.int8())))
    return rows.where(keep)
