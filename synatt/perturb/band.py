"""Band limits: a low sampling rate, a telephone's band, a dull microphone."""

from functools import lru_cache

import numpy as np

from synatt.constants import RATE_HZ
from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import Parameters, at_power, between, limit, power

HIGH_HZ = {"weak": (5500.0, 7500.0), "medium": (3800.0, 5500.0), "strong": (2200.0, 3800.0)}
LOW_HZ = {"weak": (30.0, 100.0), "medium": (80.0, 200.0), "strong": (150.0, 400.0)}
ORDER = 6


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """Edges of what is left: `high_hz` 5.5-7.5 (weak), 3.8-5.5 (medium), 2.2-3.8 kHz (strong), and every other time
    `low_hz` at 30-100, 80-200 or 150-400 Hz, else 0."""
    high = between(rng, HIGH_HZ[level])
    return {"low_hz": between(rng, LOW_HZ[level]) if rng.random() < 0.5 else 0.0, "high_hz": high}


def apply(
    wave: np.ndarray, rng: np.random.Generator, materials: Materials = NOTHING, *, low_hz: float, high_hz: float
) -> np.ndarray:
    """`wave` between two edges (Butterworth, 36 dB an octave each way, run forwards and backwards: no delay)."""
    from scipy.signal import sosfiltfilt

    if len(wave) <= 3 * 2 * ORDER:
        return wave.astype(np.float32)
    return limit(at_power(sosfiltfilt(_filter(low_hz, high_hz), wave), power(wave)))


@lru_cache(maxsize=1024)
def _filter(low_hz: float, high_hz: float) -> np.ndarray:
    from scipy.signal import butter

    # Forwards and backwards is twice the order.
    if low_hz <= 0:
        return butter(ORDER // 2, high_hz, "lowpass", fs=RATE_HZ, output="sos")
    return butter(ORDER // 2, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos")
