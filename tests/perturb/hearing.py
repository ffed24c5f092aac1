"""How two waves are told apart."""

import numpy as np
from scipy.signal import correlate

from synatt.constants import RATE_HZ


def lag(before: np.ndarray, after: np.ndarray, within: int = 60) -> int:
    """Samples by which `after` comes later, by cross-correlation; less than a period of speech is looked at."""
    near = slice(len(before) - 1 - within, len(before) + within)
    return int(correlate(after, before, "full", method="fft")[near].argmax()) - within


def ratio_db(wanted: np.ndarray, rest: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wanted.astype(np.float64) ** 2) / np.mean(rest.astype(np.float64) ** 2)))


def share_above(wave: np.ndarray, hz: float) -> float:
    """Share of the energy above a frequency."""
    energy = np.abs(np.fft.rfft(wave.astype(np.float64))) ** 2
    return float(energy[np.fft.rfftfreq(len(wave), 1 / RATE_HZ) > hz].sum() / energy.sum())


def pitch_hz(wave: np.ndarray) -> float:
    """Median over voiced frames of the autocorrelation's peak between 70 and 400 Hz."""
    found = []
    for start in range(0, len(wave) - 1024, 512):
        frame = wave[start : start + 1024].astype(np.float64)
        own = correlate(frame, frame, "full", method="fft")[1023:]
        at = 40 + int(np.argmax(own[40:229]))
        if own[0] > 0 and own[at] > 0.7 * own[0] * (1 - at / 1024):
            found.append(RATE_HZ / at)
    return float(np.median(found))
