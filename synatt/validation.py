"""What a network says of rows it was not trained on: as they are, and at levels of perturbation."""

import numpy as np
import torch
from torch import nn

from synatt.clip import crops
from synatt.clipstore import ClipStore, from_int16, to_int16
from synatt.feed import Examples
from synatt.logmel import logmel_batch
from synatt.recipe import Recipe
from synatt.step import Precision
from synatt.takes import judged_take, key


def judged_wave(store: ClipStore, track: str, level: str) -> np.ndarray:
    """float32 ``[S]``: a recording at a level of perturbation that its name fixes, alike in every epoch and fold.

    A take that the store lacks is made here, to the same 16 bits: where it is cropped depends on every sample.
    """
    if level == "clean":
        return store.wave(track)
    kept = key(track, level)
    return store.wave(kept) if kept in store else from_int16(to_int16(judged_take(store.wave(track), track, level)))


@torch.inference_mode()
def validate(net: nn.Module, examples: Examples, store: ClipStore, recipe: Recipe, precision: Precision) -> np.ndarray:
    """float32 logits ``[L, rows, C]`` of `examples` at the L levels of `tune.judge_levels`.

    Each is taken on the crop that prediction would take.
    """
    net.eval()
    levels, classes = recipe.tune.judge_levels, len(recipe.require_classes())
    out = np.empty((len(levels), len(examples), classes), np.float32)
    for k, level in enumerate(levels):
        for start in range(0, len(examples), recipe.predict.batch):
            rows = slice(start, start + recipe.predict.batch)
            waves = [judged_wave(store, track, level) for track in examples.tracks[rows]]
            clips = [crops(wave, recipe.clip_samples, recipe.clip.pad, 1)[0] for wave in waves]
            wave_BS = torch.from_numpy(np.stack(clips)).to(precision.device)
            with precision.autocast():
                logits_BC = net(logmel_batch(wave_BS, recipe.logmel))
            out[k, rows] = logits_BC.float().cpu().numpy()
    return out
