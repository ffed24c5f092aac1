"""Which clips make up which step of an epoch, and their tensors: waveform batches with probability labels.

The order of an epoch depends on (seed, epoch) alone and the crop of a clip on (seed, epoch, clip), so neither the
number of workers nor a restart changes what is trained on. Every row is seen exactly once an epoch over all workers.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from synatt.background import prefetched
from synatt.clip import fit, standardise
from synatt.clipstore import ClipStore
from synatt.loss import class_weights
from synatt.perturb import Materials
from synatt.recipe import Recipe
from synatt.takes import materials_of, perturbed_piece, training_key

# Clips are perturbed this much longer than they are needed.
MARGIN = 1.15


@dataclass(frozen=True)
class Examples:
    """Rows to train or validate on.

    Attributes:
        tracks: keys into the clip store.
        target: float32 ``[rows, C]`` probability labels.
    """

    tracks: tuple[str, ...]
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.tracks)


@dataclass
class Batch:
    """One micro-batch of one worker. Where `train.views` is 2 its second half are the first half's clips, drawn anew.

    Attributes:
        wave_BS: float32, standardised and cut to the recipe's clip.
        target_BC: float32 probability labels.
        weight_B: share of each clip in the global batch's mean loss; 0 for a filler that keeps a worker in step.
        step: optimiser step this micro-batch belongs to.
        micro: its place within the step, from 0; `last` closes the step.
    """

    wave_BS: torch.Tensor
    target_BC: torch.Tensor
    weight_B: torch.Tensor
    step: int
    micro: int
    last: bool


@dataclass(frozen=True)
class Place:
    """Which worker this is: `rank` of `world`."""

    rank: int = 0
    world: int = 1


def epoch_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """int64 ``[rows]``: a uniform random permutation, fixed by (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def step_rows(
    order: np.ndarray, batch: int, global_batch: int, place: Place
) -> Iterator[tuple[int, int, bool, np.ndarray, int]]:
    """Yield (step, micro, last micro of the step, this worker's rows, size of the global batch).

    Global batches are cut from `order`; within one, row i goes to worker ``i mod world``, in micro-batches of at most
    `batch`. Only the last global batch of an epoch may be smaller. A step's rows do not depend on the number of
    workers: with fewer of them, each accumulates more micro-batches.
    """
    for step, start in enumerate(range(0, len(order), global_batch)):
        rows = order[start : start + global_batch]
        mine = rows[place.rank :: place.world]
        # All workers must make the same number of backward passes, or the slower ones wait for ever.
        micros = math.ceil(math.ceil(len(rows) / place.world) / batch)
        for micro in range(micros):
            yield step, micro, micro == micros - 1, mine[micro * batch : (micro + 1) * batch], len(rows)


def train_batches(
    examples: Examples, store: ClipStore, recipe: Recipe, epoch: int, batch: int, global_batch: int, place: Place
) -> Iterator[Batch]:
    """The micro-batches of one worker in one epoch, prepared one ahead in a thread."""

    materials = training_materials(recipe, examples.tracks, store)
    views = recipe.train.views
    weigh = _weights(examples, recipe)

    def make() -> Iterator[Batch]:
        order = epoch_order(len(examples), recipe.seed, epoch)
        for step, micro, last, mine, whole in step_rows(order, batch, global_batch, place):
            rows = mine if len(mine) else order[:1]
            weight = weigh[rows] * np.float32(1.0 / (whole * views) if len(mine) else 0.0)
            waves = [
                training_clip(store, examples.tracks[row], recipe, epoch, int(row), materials, view)
                for view in range(views)
                for row in rows
            ]
            yield Batch(
                torch.from_numpy(np.stack(waves)),
                torch.from_numpy(np.tile(examples.target[rows], (views, 1))),
                torch.from_numpy(np.tile(weight, views)),
                step,
                micro,
                last,
            )

    return prefetched(make())


def _weights(examples: Examples, recipe: Recipe) -> np.ndarray:
    """float32 ``[rows]``: what each row counts, 1 on average."""
    if not recipe.train.balance_classes:
        return np.ones(len(examples), np.float32)
    target_NC = torch.from_numpy(examples.target)
    return (target_NC @ class_weights(target_NC)).numpy()


def training_materials(recipe: Recipe, tracks: tuple[str, ...], store: ClipStore) -> Materials:
    """What clips are perturbed anew with: the folders of the recipe, and for babble the training clips themselves.

    Raises:
        UsageError: a folder holds no audio.
    """
    if not recipe.augment.perturb_p or recipe.augment.perturb_takes:
        return Materials()
    return materials_of(recipe.augment, tracks, store.wave)


def training_clip(
    store: ClipStore, track: str, recipe: Recipe, epoch: int, row: int, materials: Materials, view: int = 0
) -> np.ndarray:
    """float32 ``[clip samples]``: a recording's clip in an epoch, standardised, and perturbed where that is drawn.

    What is perturbed is one of the recording's takes, or, where the recipe wants none, a piece of it perturbed anew.
    Either has its own mean and deviation, for a take in 16 bits no longer knows the level of its recording.

    Args:
        view: which of the epoch's draws of this recording it is.

    Raises:
        KeyError: the store lacks the recording, or the take.
    """
    # The step draws its augmentation with keys that end in 2.
    rng = np.random.default_rng([recipe.seed, epoch, row, 1 + 2 * view])
    settings = recipe.augment
    if not settings.perturb_p or rng.random() >= settings.perturb_p:
        wave = store.wave(track)
    elif settings.perturb_takes:
        wave = store.wave(training_key(settings, track, int(rng.integers(settings.perturb_takes))))
    else:
        # What will be cut away need not be perturbed; some is left, for faster speech is shorter.
        samples, level = round(MARGIN * recipe.clip_samples), str(rng.choice(settings.perturb_levels))
        wave = perturbed_piece(store.wave(track), samples, level, rng, settings.perturb_kinds, materials)
    return fit(standardise(wave), recipe.clip_samples, recipe.clip.pad, rng)


class Stopwatch:
    """Seconds spent waiting inside `iterate`, apart from the rest of the loop."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def iterate(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            item = next(batches, None)
            self.waited_s += time.perf_counter() - start
            if item is None:
                return
            yield item
