"""What a network says of rows it was not trained on: as they are, and at levels of perturbation.

And the known clips that it holds them against.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from synatt.backbones import Attributor
from synatt.clip import crops
from synatt.clipstore import ClipStore, from_int16, to_int16
from synatt.constants import unknown_index
from synatt.feed import Examples, training_clip, training_materials
from synatt.inference import BATCH
from synatt.logmel import logmel_batch
from synatt.neighbours import Neighbours, neighbours_of
from synatt.precision import Precision
from synatt.recipe import Recipe
from synatt.sampling import in_turn
from synatt.takes import judged_take, key

# Epochs whose draws no training makes.
AFTER_TRAINING = 1_000_000


def judged_wave(store: ClipStore, track: str, level: str) -> np.ndarray:
    """float32 ``[S]``: a recording at a level of perturbation that its name fixes, alike in every epoch and fold.

    A take that the store lacks is made here, to the same 16 bits: where it is cropped depends on every sample.
    """
    if level == "clean":
        return store.wave(track)
    kept = key(track, level)
    return store.wave(kept) if kept in store else from_int16(to_int16(judged_take(store.wave(track), track, level)))


@dataclass(frozen=True)
class HeldOut:
    """What a network says of R rows it was not trained on, at L levels of perturbation.

    Attributes:
        logits: float32 ``[L, R, C]``.
        unlikeness: float64 ``[L, R]``, see `synatt.neighbours`; None where the recipe keeps no neighbours.
    """

    logits: np.ndarray
    unlikeness: np.ndarray | None = None

    @classmethod
    def together(cls, parts: "list[HeldOut]") -> "HeldOut":
        """Of all rows, from parts that hold every n-th row each: rows 0, n, 2n...; rows 1, n + 1...; and so on."""
        first = parts[0]
        rows = sum(part.logits.shape[1] for part in parts)
        logits = np.empty((len(first.logits), rows, first.logits.shape[-1]), np.float32)
        unlikeness = None if first.unlikeness is None else np.empty((len(first.logits), rows))
        for k, part in enumerate(parts):
            logits[:, k :: len(parts)] = part.logits
            if unlikeness is not None:
                unlikeness[:, k :: len(parts)] = part.unlikeness
        return cls(logits, unlikeness)

    def encode(self) -> bytes:
        """Both arrays as an .npz file."""
        file = io.BytesIO()
        if self.unlikeness is None:
            np.savez(file, logits=self.logits)
        else:
            np.savez(file, logits=self.logits, unlikeness=self.unlikeness)
        return file.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> "HeldOut":
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return cls(found["logits"], found.get("unlikeness"))


def validate(
    net: Attributor,
    examples: Examples,
    store: ClipStore,
    recipe: Recipe,
    precision: Precision,
    known: Neighbours | None = None,
) -> HeldOut:
    """What `net` says of `examples` at the levels of `tune.judge_levels`, on the crop that prediction would take.

    Args:
        known: the neighbours that rows are held against.
    """
    net.eval()
    levels, rows = recipe.tune.judge_levels, len(examples)
    waves = ((judged_wave(store, track, level) for track in examples.tracks) for level in levels)
    clips = (crops(wave, recipe.clip_samples, recipe.clip.pad, 1)[0] for level in waves for wave in level)
    vectors, logits = answers(net, clips, recipe, precision)
    unlikeness = None if known is None else known.unlikeness(vectors).reshape(len(levels), rows)
    return HeldOut(logits.reshape(len(levels), rows, logits.shape[-1]), unlikeness)


@torch.inference_mode()
def answers(
    net: Attributor, clips: Iterable[np.ndarray], recipe: Recipe, precision: Precision
) -> tuple[np.ndarray, np.ndarray]:
    """(embeddings ``[N, E]``, logits ``[N, C]``), float32, of clips ``[clip samples]``."""
    vectors, logits = [torch.zeros(0, recipe.head_units)], [torch.zeros(0, len(recipe.require_classes()))]
    for part in _batched(clips, recipe.predict.batch or BATCH):
        wave_BS = torch.from_numpy(np.stack(part)).to(precision.device)
        # As in training, the log-mel itself is made in full precision.
        logmel_BMT = logmel_batch(wave_BS, recipe.logmel)
        with precision.autocast():
            vectors_BE = net.embedding(logmel_BMT)
            logits_BC = net.classify(vectors_BE)
        vectors.append(vectors_BE.float().cpu())
        logits.append(logits_BC.float().cpu())
    return torch.cat(vectors).numpy(), torch.cat(logits).numpy()


def known_neighbours(
    net: Attributor, examples: Examples, store: ClipStore, recipe: Recipe, precision: Precision
) -> Neighbours | None:
    """The neighbours that a model keeps: embeddings of `known_clips`. None where the recipe wants none, or too few."""
    net.eval()
    return neighbours_of(answers(net, known_clips(examples, store, recipe)[1], recipe, precision)[0])


def known_clips(examples: Examples, store: ClipStore, recipe: Recipe) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """`predict.neighbours` clips of known classes, cut and perturbed as in training: their labels, and the clips.

    The classes take turns, and their clips; where there are fewer clips than asked for, each is drawn again with
    another perturbation. Soft-labelled rows have no part in it.
    """
    unknown = unknown_index(recipe.require_classes())
    label = examples.target.argmax(axis=1)
    sure = np.flatnonzero((examples.target.max(axis=1) == 1) & (label != unknown))
    turns = in_turn(label[sure], recipe.predict.neighbours, np.random.default_rng([recipe.seed, *b"neighbours"]))
    materials = training_materials(recipe, examples.tracks, store)
    return label[sure[turns]], (
        training_clip(store, examples.tracks[row], recipe, AFTER_TRAINING + draw, int(row), materials)
        for draw, row in enumerate(sure[turns])
    )


def _batched(items: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    left = iter(items)
    while part := list(islice(left, size)):
        yield part
