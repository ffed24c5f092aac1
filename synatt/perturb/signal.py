"""What all kinds share: the limiter, power, convolution, and a wave brought back to its length."""

import numpy as np

PEAK = 0.99
Parameters = dict[str, float | str]


def limit(wave: np.ndarray) -> np.ndarray:
    """float32 `wave`, scaled down as a whole where its peak passes 0.99."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave * min(1.0, PEAK / peak) if peak > 0 else wave).astype(np.float32)


def power(wave: np.ndarray) -> float:
    """Mean square, in float64."""
    return float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0


def at_power(wave: np.ndarray, wanted: float) -> np.ndarray:
    """`wave` scaled to the mean square `wanted`; silence stays silence."""
    found = power(wave)
    return wave * np.sqrt(wanted / found) if found > 0 else wave


def at_length(wave: np.ndarray, samples: int) -> np.ndarray:
    """`wave` cut, or filled with zeros at its end, to ``[samples]``."""
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def convolved(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """float64 ``[S]``: the first S samples of `wave` * `response`."""
    from scipy.signal import fftconvolve

    return fftconvolve(wave.astype(np.float64), response)[: len(wave)]


def between(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Uniform between two bounds, rounded to four digits, so that what is written down is what was used."""
    return float(f"{rng.uniform(*bounds):.4g}")
