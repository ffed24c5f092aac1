"""Level and clipping: a microphone driven too hard, or a recording stored too quietly."""

import numpy as np

from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import PEAK, Parameters, between

CLIPPED = {"weak": (0.0005, 0.003), "medium": (0.003, 0.02), "strong": (0.02, 0.1)}
GAIN_DB = {"weak": (-20.0, 0.0), "medium": (-40.0, -20.0), "strong": (-55.0, -40.0)}
FULL_SCALE = 32768


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """Evenly `clipped`, the share of samples cut off (weak 0.05-0.3 %, medium 0.3-2 %, strong 2-10 %), or `gain_db`.

    The gain lies in -20-0, -40--20 or -55--40 dB under full scale and is followed by rounding to 16 bits: at -50 dB
    seven of them are left.
    """
    if rng.random() < 0.5:
        return {"clipped": between(rng, CLIPPED[level])}
    return {"gain_db": between(rng, GAIN_DB[level])}


def apply(
    wave: np.ndarray,
    rng: np.random.Generator,
    materials: Materials = NOTHING,
    *,
    clipped: float | None = None,
    gain_db: float | None = None,
) -> np.ndarray:
    """`wave` with its loudest samples cut off, or with its peak at `gain_db` and rounded to 16 bits there."""
    peak = float(np.abs(wave).max(initial=0.0))
    if peak == 0:
        return wave.astype(np.float32)
    if clipped is not None:
        ceiling = float(np.quantile(np.abs(wave), 1 - clipped)) or peak
        return (np.clip(wave, -ceiling, ceiling) * min(1.0, PEAK / ceiling)).astype(np.float32)
    scaled = wave * (10 ** ((gain_db or 0.0) / 20) * PEAK / peak)
    return (np.rint(scaled * FULL_SCALE) / FULL_SCALE).astype(np.float32)
