"""The `enrol` job: trained models and a few clips of new classes -> models that know them too."""

import logging
import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from synatt import manifest, storage
from synatt.audio import AudioError, load_audio
from synatt.clip import crops
from synatt.constants import UNKNOWN
from synatt.enrolment import Bank, accuracy_by_count, fit_rows, new_classes, widen
from synatt.errors import UsageError
from synatt.inputs import from_folder
from synatt.logmel import logmel_batch
from synatt.manifest import Manifest
from synatt.model import TrainedModel, find_models, load_model, read_recipe, save_model
from synatt.perturb import LEVELS, perturb
from synatt.recipe import Recipe

log = logging.getLogger("synatt")

TABLE = "enrolment.parquet"
# More old clips a class say little more of where its border is.
OLD_CLIPS = 100


@dataclass(frozen=True)
class Clips:
    """Decoded recordings with their labels."""

    waves: list[np.ndarray]
    label: np.ndarray


def enrol(models: list[str], known_new: dict[str, str], old: Manifest, output: str, seed: int = 0) -> str:
    """Write model folders that know the classes of `known_new` too, and a table of how well, by number of clips.

    Args:
        models: model folders, or folders of them.
        known_new: class name -> folder of its clips.
        old: labelled rows of what the models were trained on; a hundred clips of each class at most are used.
        seed: of the draws behind the table.

    Returns:
        the folder of the models.

    Raises:
        UsageError: a class is known already, has no readable clip, or old rows and models do not fit together.
    """
    folders = find_models(models)
    first = read_recipe(folders[0])
    classes, added = first.require_classes(), tuple(known_new)
    if twice := [name for name in added if name in classes]:
        raise UsageError(f"class {twice[0]!r} is known already: the models have {', '.join(classes)}")
    olds = _decode(_some(old, classes, seed), first.clip.read_s)
    news = _decode(_named(known_new), first.clip.read_s)
    for number, name in enumerate(added):
        if not (news.label == number).any():
            raise UsageError(f"no clip of {name!r} in {storage.shown(known_new[name])} can be read")
    table = []
    for folder in folders:
        if read_recipe(folder).require_classes() != classes:
            raise UsageError(f"the models disagree on the classes: {folders[0]} and {folder}")
    for folder in folders:
        model = load_model(folder)
        table += _enrol_one(model, added, olds, news, storage.join(output, model.name), seed)
    frame = pd.DataFrame(table)
    storage.write_table(storage.join(output, TABLE), pa.Table.from_pandas(frame, preserve_index=False))
    if len(frame):
        means = frame.groupby(["new_class", "clips"])[["recall", "old_before", "old_after"]].mean().round(3)
        log.info("%s", "\n".join(["on clips that were not enrolled:", *means.to_string().splitlines()]))
    return output


def _enrol_one(
    model: TrainedModel, added: tuple[str, ...], olds: Clips, news: Clips, folder: str, seed: int
) -> list[dict[str, object]]:
    old, new = (_embedded(model, clips) for clips in (olds, news))
    classes = model.recipe.require_classes()
    weight, bias = (p.detach().numpy().copy() for p in (model.net.classify.weight, model.net.classify.bias))
    table = accuracy_by_count(old, new, weight, bias, seed)
    widen(model.net, *fit_rows(old, new, weight, bias), classes[-1] == UNKNOWN)
    recipe = model.recipe.model_copy(update={"classes": new_classes(classes, added)})
    counts = {name: int((news.label == i).sum()) for i, name in enumerate(added)}
    # What has become known must not lie far from everything known.
    known = None if model.neighbours is None else model.neighbours.with_more(new.vectors)
    save_model(folder, model.net, recipe, {"enrolled": counts, "enrolled_into": model.digest}, [], known, model.taught)
    log.info("%s knows %s now, from %s clips", model.name, ", ".join(added), ", ".join(map(str, counts.values())))
    return [{"backbone": model.name, **row, "new_class": added[int(row["new_class"])]} for row in table]


@torch.inference_mode()
def _embedded(model: TrainedModel, clips: Clips) -> Bank:
    """Every clip as it is and once at each level of perturbation: a class is not what a room makes of it."""
    recipe: Recipe = model.recipe
    vectors = []
    for number, wave in enumerate(clips.waves):
        rng = np.random.default_rng([number, zlib.crc32(wave.tobytes())])
        shown = [perturb(wave, level, rng)[0] for level in LEVELS]
        cut = [crops(w, recipe.clip_samples, recipe.clip.pad, recipe.predict.crops) for w in shown]
        found = model.net.embedding(logmel_batch(torch.from_numpy(np.concatenate(cut)), recipe.logmel))
        vectors.append(found.reshape(len(LEVELS), recipe.predict.crops, -1).mean(dim=1).numpy())
    each = len(LEVELS)
    rows = np.concatenate(vectors)
    return Bank(rows, np.repeat(clips.label, each), np.repeat(np.arange(len(clips.waves)), each))


def _named(known_new: dict[str, str]) -> list[tuple[str, int]]:
    return [
        (path, number) for number, place in enumerate(known_new.values()) for path in from_folder(place).column("path")
    ]


def _some(old: Manifest, classes: tuple[str, ...], seed: int) -> list[tuple[str, int]]:
    """(path, class) of at most `OLD_CLIPS` labelled training rows of each class.

    Raises:
        UsageError: a class has none.
    """
    if old.classes is not None and old.classes != classes:
        raise UsageError(f"manifest and models disagree on the classes: {old.classes} / {classes}")
    share = manifest.targets(old, len(classes))
    usable = np.isfinite(share).all(axis=1) & (share.sum(axis=1) > 0)
    usable &= np.array([split != "eval" for split in old.column("split")])
    label, paths = np.nan_to_num(share).argmax(axis=1), old.column("path")
    rng = np.random.default_rng([seed, *b"old"])
    out = []
    for number, name in enumerate(classes):
        rows = np.flatnonzero(usable & (label == number))
        if not len(rows):
            raise UsageError(f"the manifest has no labelled training row of class {name!r}")
        out += [(paths[row], number) for row in rng.permutation(rows)[:OLD_CLIPS]]
    return out


def _decode(rows: list[tuple[str, int]], read_s: float) -> Clips:
    waves, label = [], []
    for path, number in rows:
        try:
            waves.append(load_audio(path, read_s).wave)
            label.append(number)
        except AudioError as err:
            log.warning("left out: %s (%s)", storage.shown(path), err)
    return Clips(waves, np.array(label, dtype=np.int64))
