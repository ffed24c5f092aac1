"""A recording of any length -> the fixed clip that a log-mel is made of: standardise, then crop or pad.

The crop is drawn by a generator. At inference that generator is seeded by the recording's own samples, so that a clip
gets the same answer whatever its name, its neighbours or the number of workers.
"""

import math
import zlib
from typing import Literal

import numpy as np

Pad = Literal["zeros", "random", "end"]


def standardise(wave: np.ndarray) -> np.ndarray:
    """float32 ``[S]`` of the whole recording -> zero mean, unit standard deviation (Syn-Att, before any crop)."""
    # In single precision: the difference, 1e-6 of a deviation, is less than the rounding of 16-bit samples.
    with np.errstate(over="ignore", invalid="ignore"):
        centred = wave - wave.mean()
        std = float(np.sqrt(np.square(centred).mean()))
    if not math.isfinite(std):
        # Samples so large that their squares are not.
        mean, std = wave.mean(dtype=np.float64), float(wave.std(dtype=np.float64))
        centred = wave - np.float32(mean)
    return (centred / np.float32(max(std, 1e-8))).astype(np.float32, copy=False)


def fit(wave: np.ndarray, samples: int, pad: Pad, rng: np.random.Generator) -> np.ndarray:
    """Crop or pad `wave` ``[S]`` to ``[samples]``.

    A longer recording is cropped at a random place. A shorter one is placed at a random offset and filled at both
    ends with zeros (`pad="zeros"`), or with zeros or with itself repeated, drawn per clip (`pad="random"`).
    `pad="end"` draws nothing: it keeps the start and fills zeros after the end.
    """
    missing = samples - len(wave)
    if pad == "end":
        return np.pad(wave[:samples], (0, max(missing, 0)))
    if missing <= 0:
        start = int(rng.integers(0, -missing + 1))
        return wave[start : start + samples]
    before = int(rng.integers(0, missing + 1))
    if pad == "random" and rng.random() < 0.5:
        return np.pad(wave, (before, missing - before), mode="wrap")
    return np.pad(wave, (before, missing - before))


def crops(wave: np.ndarray, samples: int, pad: Pad, count: int) -> np.ndarray:
    """float32 ``[K, samples]``: `count` standardised clips of `wave`, drawn by its own content.

    Recordings that leave nothing to draw (as long as the clip) give K equal clips.
    """
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(wave).tobytes()))
    whole = standardise(wave)
    return np.stack([fit(whole, samples, pad, rng) for _ in range(count)])
