"""The `train` job: which rows, which backbones, for how many epochs; what is done already is not done again."""

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synatt import manifest, storage
from synatt.errors import UsageError, WorkError
from synatt.feed import Examples
from synatt.inputs import read_inputs
from synatt.manifest import Manifest
from synatt.model import METRICS_FILE
from synatt.recipe import Backbone, Recipe, load_recipe

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class FitSettings:
    """What the user may choose.

    Attributes:
        backbones: names to train; empty: all of the recipe.
        epochs: chosen epoch counts by backbone; the recipe's own where a name is absent.
        temperatures: softmax temperatures by backbone.
        clips: folder of decoded training audio, shared between runs; None: below the output.
        address: of a Ray cluster.
    """

    backbones: tuple[str, ...] = ()
    epochs: dict[str, int] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    clips: str | None = None
    address: str | None = None


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
    """Train the backbones of `recipe` and write one model folder each below `output`.

    Args:
        rows: the manifest; its evaluation rows are not trained on.
        stage: 0 supervised, 1 semi-supervised.
        soft: soft-labelled rows to add.

    Returns:
        `output`.

    Raises:
        WorkError: some backbones failed, after all others were trained.
    """
    from synatt.distributed.session import ray_session
    from synatt.distributed.training import store_clips, train_backbone
    from synatt.training import Plan

    recipe = with_classes(recipe, rows)
    chosen = training_rows(rows, recipe, soft)
    backbones = [recipe.backbone(name) for name in settings.backbones] or list(recipe.backbones)
    todo = []
    for b in backbones:
        epochs = settings.epochs.get(b.name, b.epochs[stage])
        mine = with_temperature(recipe, settings.temperatures.get(b.name, 1.0))
        key = fingerprint(chosen, mine, b, stage, epochs)
        if is_done(storage.join(output, b.name), key):
            log.info("%s is trained already", b.name)
        else:
            todo.append((b, mine, epochs, key))
    if not todo:
        return output
    failures = []
    with ray_session(settings.address):
        everything = manifest.concat([rows, soft]) if soft is not None and not _covers(rows, soft) else rows
        clips = store_clips(everything, recipe.clip.read_s, settings.clips or storage.join(output, "_clips"))
        store = clips.open()
        for problem in store.problems:
            log.info("not trained on: %s (%s)", problem["track"], problem["detail"])
        usable = chosen.where(np.array([t in store for t in chosen.column("track")]))
        examples = Examples(tuple(usable.column("track")), manifest.targets(usable, len(recipe.require_classes())))
        for b, mine, epochs, key in todo:
            log.info("training %s (%s) on %d clips for %d epochs", b.name, b.timm, len(examples), epochs)
            plan = Plan(mine, b, stage, epochs, recipe.train.accumulate, 0)
            info = {
                "fingerprint": key,
                "stage": stage + 1,
                "unreadable_clips": len(chosen) - len(usable),
                **provenance(recipe),
            }
            try:
                train_backbone(
                    plan,
                    examples,
                    clips,
                    storage.join(output, b.name),
                    storage.join(output, "_runs"),
                    f"{b.name}-{key}",
                    info,
                )
            except WorkError as err:
                log.info("%s", err)
                failures.append(str(err))
    if failures:
        raise WorkError(f"{len(failures)} of {len(todo)} backbones failed: {failures[0]}")
    storage.delete_dir(storage.join(output, "_runs"))
    return output


def _covers(rows: Manifest, soft: Manifest) -> bool:
    return bool(
        pc.all(pc.is_in(soft.table.column("track"), value_set=rows.table.column("track").combine_chunks())).as_py()
    )


def with_temperature(recipe: Recipe, temperature: float) -> Recipe:
    """`recipe` whose predictions are calibrated by `temperature`."""
    if temperature == 1.0:
        return recipe
    return recipe.model_copy(update={"predict": recipe.predict.model_copy(update={"temperature": temperature})})


def fingerprint(rows: Manifest, recipe: Recipe, backbone: Backbone, stage: int, epochs: int) -> str:
    """12 hex digits of all that decides a trained model: rows and labels, settings, backbone, epochs."""
    digest = hashlib.sha256()
    for batch in rows.table.select(["track", "path", "label", "p"]).to_batches(max_chunksize=65_536):
        digest.update(json.dumps([c.to_pylist() for c in batch.columns]).encode())
    settings = recipe.model_dump(mode="json", exclude={"backbones", "name", "predict", "tune"})
    settings["temperature"] = recipe.predict.temperature
    digest.update(json.dumps([settings, backbone.model_dump(mode="json"), stage, epochs], sort_keys=True).encode())
    return digest.hexdigest()[:12]


def is_done(model_folder: str, key: str) -> bool:
    """True when `model_folder` holds a finished model with this fingerprint."""
    path = storage.join(model_folder, METRICS_FILE)
    return storage.is_file(path) and storage.read_json(path).get("fingerprint") == key


def provenance(recipe: Recipe) -> dict[str, Any]:
    """What a reader needs to repeat a run: seed, versions, platform."""
    packages = ("synatt", "torch", "torchaudio", "timm", "ray", "numpy")
    return {
        "seed": recipe.seed,
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def read_choice(path: str | None) -> tuple[dict[str, int], dict[str, float]]:
    """Epoch counts and temperatures by backbone from `tune`'s `epochs.json` (a file, or the folder that holds it)."""
    if path is None:
        return {}, {}
    file = storage.join(path, "epochs.json") if storage.is_dir(path) else path
    chosen: dict[str, dict[str, Any]] = storage.read_json(file)["backbones"]
    return (
        {name: int(c["epochs"]) for name, c in chosen.items()},
        {name: float(c["temperature"]) for name, c in chosen.items()},
    )


def only_split(rows: Manifest, split: str | None, parts: Sequence[int] = ()) -> Manifest:
    """Rows of one split and, where given, of some evaluation parts."""
    keep = pc.fill_null(pc.equal(rows.table.column("split"), split), False) if split else pa.array([True] * len(rows))
    if parts:
        keep = pc.and_(keep, pc.is_in(rows.table.column("part"), value_set=pa.array(list(parts), pa.int8())))
    return rows.where(keep)
