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
        centred = np.subtract(wave, wave.mean(), dtype=np.float32)
        # A scalar product takes a quarter of the time of squares and their mean.
        std = math.sqrt(float(np.dot(centred, centred)) / len(wave))
    if not math.isfinite(std):
        # Samples so large that their squares are not.
        mean, std = wave.mean(dtype=np.float64), float(wave.std(dtype=np.float64))
        centred = np.subtract(wave, np.float32(mean), dtype=np.float32)
    return np.multiply(centred, np.float32(1.0 / max(std, 1e-8)), out=centred)


def fit(wave: np.ndarray, samples: int, pad: Pad, rng: np.random.Generator) -> np.ndarray:
    """Crop or pad `wave` ``[S]`` to ``[samples]``.

    A longer recording is cropped at a random place. A shorter one is placed at a random offset and filled at both
    ends with zeros (`pad="zeros"`), or with zeros or with itself repeated, drawn per clip (`pad="random"`).
    `pad="end"` draws nothing: it keeps the start and fills zeros after the end.
    """
    missing = samples - len(wave)
    if pad == "end":
        return _among_zeros(wave[:samples], 0, samples)
    if missing <= 0:
        start = int(rng.integers(0, -missing + 1))
        return wave[start : start + samples]
    before = int(rng.integers(0, missing + 1))
    if pad == "random" and rng.random() < 0.5:
        return np.pad(wave, (before, missing - before), mode="wrap")
    return _among_zeros(wave, before, samples)


def _among_zeros(wave: np.ndarray, before: int, samples: int) -> np.ndarray:
    """What `np.pad` gives, in half of its time."""
    out = np.zeros(samples, wave.dtype)
    out[before : before + len(wave)] = wave
    return out


def crops(wave: np.ndarray, samples: int, pad: Pad, count: int) -> np.ndarray:
    """float32 ``[K, samples]``: `count` standardised clips of `wave`, drawn by its own content.

    Recordings that leave nothing to draw (as long as the clip) give K equal clips.
    """
    # A crop from the start needs no draw, and the digest takes as long as the standardising.
    seed = 0 if pad == "end" else zlib.crc32(np.ascontiguousarray(wave).data)
    rng = np.random.default_rng(seed)
    whole = standardise(wave)
    fitted = [fit(whole, samples, pad, rng) for _ in range(count)]
    return fitted[0][None] if count == 1 else np.stack(fitted)
