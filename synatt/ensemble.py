"""Recordings -> class probabilities: one decode and one log-mel per recipe, however many models there are.

The job and `synatt.load(...)` both go through here, which is why they give the same numbers.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from synatt import storage
from synatt.audio import Audio
from synatt.clip import crops
from synatt.constants import unknown_index
from synatt.crossfit import answering
from synatt.errors import UsageError
from synatt.inference import PLAIN, Inference, batch_size, make_embed, on_device
from synatt.logmel import logmel_batch
from synatt.model import WEIGHTS_FILE, TrainedModel, find_models, folder_digest, load_model, read_recipe
from synatt.openset import Confidence, probabilities
from synatt.recipe import Recipe


@dataclass(frozen=True)
class View:
    """What a model looks at: models with equal views share one log-mel. `key` is unique among views."""

    key: str
    recipe: Recipe

    @classmethod
    def of(cls, recipe: Recipe) -> "View":
        parts = (recipe.clip.seconds, recipe.clip.pad, recipe.predict.crops, recipe.logmel.model_dump_json())
        return cls("logmel_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:8], recipe)


@dataclass(frozen=True)
class EnsemblePlan:
    """What an ensemble needs to know before any weight is read; small, so that it can be sent anywhere.

    Attributes:
        folders: model folders, one per member.
        names: backbone names, unique (a folder name is added where two members share one).
        views: the distinct views, and for each member the key of its own.
        classes: class names in the order of the probabilities.
        read_s: seconds of a recording that are decoded.
        run: id of the ensemble: digest of all members.
        weight_bytes: size of all weight files.
        head_units: length of each member's embedding.
        inference: what runs the members' networks.
    """

    folders: tuple[str, ...]
    names: tuple[str, ...]
    views: tuple[View, ...]
    view_of: tuple[str, ...]
    classes: tuple[str, ...]
    read_s: float
    run: str
    weight_bytes: int
    head_units: tuple[int, ...]
    inference: Inference = PLAIN

    @property
    def unknown(self) -> int | None:
        """Index of the class of unknown algorithms; None where there is none."""
        return unknown_index(self.classes)

    @property
    def window_s(self) -> float:
        """Seconds of a window of a long recording: the longest clip that a member looks at."""
        return max(view.recipe.clip.seconds for view in self.views)


def plan(paths: Sequence[str], inference: Inference = PLAIN) -> EnsemblePlan:
    """Find and check the model folders of an ensemble.

    Raises:
        UsageError: none is found, one is damaged, or they disagree on the classes or the seconds to read; or what
            should run them is not installed.
    """
    inference.check_installed()
    # Whole paths: the workers that load them run in other folders.
    folders = [storage.absolute(folder) for folder in find_models(list(paths))]
    recipes = [read_recipe(f) for f in folders]
    classes = {r.require_classes() for r in recipes}
    if len(classes) > 1:
        raise UsageError(f"the models disagree on the classes: {' / '.join(', '.join(c) for c in sorted(classes))}")
    read_s = {r.clip.read_s for r in recipes}
    if len(read_s) > 1:
        raise UsageError(f"the models disagree on clip.read_s: {sorted(read_s)}")
    views = {v.key: v for v in map(View.of, recipes)}
    run = hashlib.sha256("".join(sorted(folder_digest(f) for f in folders)).encode()).hexdigest()[:12]
    return EnsemblePlan(
        tuple(folders),
        _unique([r.backbones[0].name for r in recipes], folders),
        tuple(views.values()),
        tuple(View.of(r).key for r in recipes),
        classes.pop(),
        read_s.pop(),
        run,
        sum(storage.info(storage.join(f, WEIGHTS_FILE)).size for f in folders),
        tuple(r.head_units for r in recipes),
        inference,
    )


def _unique(names: list[str], folders: list[str]) -> tuple[str, ...]:
    if len(set(names)) == len(names):
        return tuple(names)
    parents = [f"{folder.rstrip('/').split('/')[-2]}/{name}" for folder, name in zip(folders, names, strict=True)]
    return tuple(parents if len(set(parents)) == len(parents) else folders)


def logmel_crops(audio: Audio, view: View) -> np.ndarray:
    """float32 ``[K, M, T]``: the log-mels of the recording's crops under one view."""
    recipe = view.recipe
    wave_KS = crops(audio.wave, recipe.clip_samples, recipe.clip.pad, recipe.predict.crops)
    return logmel_batch(torch.from_numpy(wave_KS), recipe.logmel).numpy()


class Ensemble:
    """Loaded models that turn staged log-mels into probabilities.

    Args:
        plan: from `plan`.
        device: where the models run; a GPU where there is one by default.
    """

    def __init__(self, plan: EnsemblePlan, device: torch.device | None = None) -> None:
        self.plan = plan
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.models: list[TrainedModel] = [load_model(folder) for folder in plan.folders]
        self._embeds = [
            make_embed(m.net, self.device, plan.inference, m.digest, m.recipe.feature_shape) for m in self.models
        ]

    @torch.inference_mode()
    def score(self, staged: dict[str, np.ndarray], tracks: Sequence[str], batch: int | None = None) -> "Scores":
        """Class probabilities and embeddings of staged clips.

        Args:
            staged: for each view key, float32 ``[B, K, M, T]``.
            tracks: B keys: members that were taught soft labels of some are left out of the answers for them.
            batch: log-mels per forward pass; by default the smallest that a recipe of the view asks for, and where none
                does what `batch_size` finds right for the device.
        """
        vectors: list[list[torch.Tensor]] = [[] for _ in self.models]
        for view in self.plan.views:
            members = [i for i, key in enumerate(self.plan.view_of) if key == view.key]
            x_BKMT = staged[view.key]
            flat = _borrowed(x_BKMT.reshape(-1, *x_BKMT.shape[2:]))
            # A batch is on the device once, for all members that look at it.
            asked = [size for i in members if (size := self.models[i].recipe.predict.batch)]
            size = batch or min(asked, default=batch_size(len(flat), self.device))
            for part in on_device(flat, size, self.device):
                for i in members:
                    vectors[i].append(self._embeds[i](part))
        found = [
            self._scored(model, torch.cat(parts).unflatten(0, staged[key].shape[:2]))
            for model, parts, key in zip(self.models, vectors, self.plan.view_of, strict=True)
        ]
        answers_NB = answering([model.taught for model in self.models], tracks)
        return Scores(np.stack([probs for probs, _ in found]), [v for _, v in found], answers_NB)

    def _scored(self, model: TrainedModel, vectors_BKE: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(probabilities ``[B, C]``, embeddings ``[B, E]``) of a model, means over the crops."""
        logits_BKC = model.net.classify(vectors_BKE).cpu()
        embeddings = vectors_BKE.mean(dim=1).cpu().numpy()
        how, unlikeness_BK = Confidence.of(model.recipe.predict), None
        # A decision that was not fitted with neighbours does not ask for them.
        if model.neighbours is not None and how.distance_slope is not None:
            unlikeness_B = torch.from_numpy(model.neighbours.unlikeness(embeddings))
            unlikeness_BK = unlikeness_B.float()[:, None].expand(-1, vectors_BKE.shape[1])
        return probabilities(logits_BKC, how, self.plan.unknown, unlikeness_BK).mean(dim=1).numpy(), embeddings


@dataclass(frozen=True)
class Scores:
    """What an ensemble says of some clips.

    Attributes:
        probs_NBC: float32, per model the mean over crops of its calibrated softmax.
        embeddings: per model float32 ``[B, E]``, the mean over crops of the penultimate vector.
        answers_NB: bool, the models that answer for a clip, one at least (see `synatt.crossfit`).
    """

    probs_NBC: np.ndarray
    embeddings: list[np.ndarray]
    answers_NB: np.ndarray

    @property
    def mean_BC(self) -> np.ndarray:
        """float32 ``[B, C]``: the ensemble's probabilities, the mean over the models that answer."""
        return self.probs_NBC.mean(axis=0, where=self.answers_NB[:, :, None])


def _borrowed(array: np.ndarray) -> torch.Tensor:
    # A block of Ray's object store is read-only; torch warns of that, though nothing here writes to it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)
