"""A model folder: one trained backbone, with all that is needed to rebuild and judge it, and no pickle.

`model.safetensors` weights; `recipe.yaml` resolved recipe with this one backbone; `metrics.json`; `curve.csv` and
`curve.png` the training curve; `neighbours.safetensors` embeddings of known training clips, where the recipe keeps any;
`taught.safetensors` keys of the tracks whose soft labels it was taught, where they were cross-fitted.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from synatt import storage
from synatt.backbones import Attributor, create
from synatt.crossfit import TaughtTracks
from synatt.errors import UsageError
from synatt.neighbours import Neighbours, neighbours_of
from synatt.recipe import Recipe, RecipeError, Weights
from synatt.recipefile import build_recipe, parse_yaml
from synatt.weights import WeightsError, load_state, save_state, save_tensors

WEIGHTS_FILE, RECIPE_FILE, METRICS_FILE, CURVE_FILE = "model.safetensors", "recipe.yaml", "metrics.json", "curve.csv"
NEIGHBOURS_FILE, NEIGHBOURS_KEY = "neighbours.safetensors", "vectors"
TAUGHT_FILE, TAUGHT_KEY = "taught.safetensors", "tracks"


class ModelFolderError(UsageError):
    """A model folder is missing, incomplete or does not fit together."""


@dataclass(frozen=True)
class TrainedModel:
    """A network in evaluation mode with the recipe that rebuilds it.

    Attributes:
        digest: SHA-256 of all that answers come from; two folders with one digest give the same.
        neighbours: known training clips that a clip is held against; None where the recipe keeps none.
        taught: soft-labelled tracks that it does not answer for where another model does.
    """

    net: Attributor
    recipe: Recipe
    folder: str
    digest: str
    neighbours: Neighbours | None = None
    taught: TaughtTracks | None = None

    @property
    def name(self) -> str:
        return self.recipe.backbones[0].name


def save_model(
    folder: str,
    net: Attributor,
    recipe: Recipe,
    metrics: dict[str, Any],
    curve: list[dict[str, float]],
    neighbours: Neighbours | None = None,
    taught: TaughtTracks | None = None,
) -> None:
    """Write a model folder; `metrics.json` comes last, so a folder that has it is whole."""
    if len(recipe.backbones) != 1:
        raise ModelFolderError("a model folder holds one backbone")
    storage.delete_file(storage.join(folder, METRICS_FILE))
    save_state(net, storage.join(folder, WEIGHTS_FILE))
    if neighbours is None:
        storage.delete_file(storage.join(folder, NEIGHBOURS_FILE))
    else:
        vectors = {NEIGHBOURS_KEY: torch.from_numpy(neighbours.vectors_TE)}
        save_tensors(vectors, storage.join(folder, NEIGHBOURS_FILE))
    if taught is None:
        storage.delete_file(storage.join(folder, TAUGHT_FILE))
    else:
        save_tensors({TAUGHT_KEY: torch.from_numpy(taught.key_T)}, storage.join(folder, TAUGHT_FILE))
    storage.write_text(storage.join(folder, RECIPE_FILE), recipe.to_yaml())
    text = io.StringIO()
    # The last epoch is judged where any is, so that no column is missing from its row.
    writer = csv.DictWriter(text, fieldnames=list(curve[-1]) if curve else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    storage.write_text(storage.join(folder, CURVE_FILE), text.getvalue())
    storage.write_json(storage.join(folder, METRICS_FILE), metrics)


def read_recipe(folder: str) -> Recipe:
    """The recipe of a model folder."""
    path = storage.join(folder, RECIPE_FILE)
    try:
        values = parse_yaml(storage.read_text(path))
    except ValueError as err:
        raise ModelFolderError(f"{path} is not plain YAML: {err}") from None
    if not isinstance(values, dict):
        raise ModelFolderError(f"{path} is not a mapping of settings")
    try:
        recipe = build_recipe(values, origin=path)
    except RecipeError as err:
        raise ModelFolderError(str(err)) from None
    if len(recipe.backbones) != 1:
        raise ModelFolderError(f"{path} names {len(recipe.backbones)} backbones, one was expected")
    return recipe


def is_model_folder(path: str) -> bool:
    return storage.is_file(storage.join(path, WEIGHTS_FILE))


def find_models(paths: list[str]) -> list[str]:
    """Model folders named by `paths`: each is one itself, or a folder of them (any depth up to two).

    Raises:
        ModelFolderError: a path holds none.
    """
    found: list[str] = []
    for path in paths:
        if is_model_folder(path):
            found.append(path)
            continue
        if not storage.is_dir(path):
            raise ModelFolderError(f"no model folder at {path}")
        below = [name for name, _ in storage.list_files(path) if name.rpartition("/")[2] == WEIGHTS_FILE]
        if not below:
            raise ModelFolderError(f"{path} is no model folder and holds none: no {WEIGHTS_FILE} below it")
        found += [storage.join(path, name.removesuffix("/" + WEIGHTS_FILE)) for name in below]
    return list(dict.fromkeys(found))


def load_model(folder: str) -> TrainedModel:
    """Rebuild the network of a model folder, in evaluation mode on the CPU.

    Raises:
        ModelFolderError: a file is missing or damaged, or weights and recipe do not fit.
    """
    if not is_model_folder(folder):
        raise ModelFolderError(f"no model folder at {folder}: {WEIGHTS_FILE} is missing")
    recipe = read_recipe(folder)
    try:
        state = load_state(storage.join(folder, WEIGHTS_FILE))
        net = create(recipe.backbones[0], recipe, Weights(source="random"))
        net.load_state_dict(state)
    except WeightsError as err:
        raise ModelFolderError(f"{folder}: {err}") from None
    except RuntimeError as err:
        lines = [line.strip() for line in str(err).splitlines()]
        raise ModelFolderError(f"{folder}: weights do not fit the recipe: {' '.join(lines[:2])[:200]}") from None
    neighbours, taught = _neighbours(folder, recipe), _taught(folder)
    return TrainedModel(net.eval(), recipe, folder, folder_digest(folder), neighbours, taught)


def _neighbours(folder: str, recipe: Recipe) -> Neighbours | None:
    path = storage.join(folder, NEIGHBOURS_FILE)
    if not storage.is_file(path):
        if recipe.predict.unknown_distance_slope is not None:
            raise ModelFolderError(f"{folder}: {NEIGHBOURS_FILE} is missing, which its decision was fitted with")
        return None
    try:
        vectors = load_state(path)[NEIGHBOURS_KEY].numpy()
    except (WeightsError, KeyError) as err:
        raise ModelFolderError(f"{folder}: {NEIGHBOURS_FILE} cannot be used: {err}") from None
    if vectors.ndim != 2 or vectors.shape[1] != recipe.head_units or (found := neighbours_of(vectors)) is None:
        raise ModelFolderError(f"{folder}: {NEIGHBOURS_FILE} does not fit the recipe: {list(vectors.shape)}")
    return found


def _taught(folder: str) -> TaughtTracks | None:
    path = storage.join(folder, TAUGHT_FILE)
    if not storage.is_file(path):
        return None
    try:
        key_T = load_state(path)[TAUGHT_KEY].numpy()
    except (WeightsError, KeyError) as err:
        raise ModelFolderError(f"{folder}: {TAUGHT_FILE} cannot be used: {err}") from None
    if key_T.ndim != 1 or key_T.dtype != np.int64:
        raise ModelFolderError(f"{folder}: {TAUGHT_FILE} holds no keys of tracks: {key_T.dtype} {list(key_T.shape)}")
    return TaughtTracks(key_T)


def folder_digest(folder: str) -> str:
    """SHA-256 (hex) of what a model folder's answers come from: weights, recipe, neighbours, tracks it was taught."""
    digest = hashlib.sha256()
    for name in (WEIGHTS_FILE, RECIPE_FILE, NEIGHBOURS_FILE, TAUGHT_FILE):
        path = storage.join(folder, name)
        if name in (WEIGHTS_FILE, RECIPE_FILE) or storage.is_file(path):
            digest.update(storage.read_bytes(path))
    return digest.hexdigest()
