"""Channel vocoder (Dudley 1939) with a noise carrier, as in simulations of cochlear implants (Shannon et al. 1995)."""

from functools import cache
from itertools import pairwise

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit

BANDS, LOWEST_HZ, HIGHEST_HZ, ENVELOPE_HZ = 20, 80.0, 7600.0, 60.0


@cache
def _filters() -> tuple[np.ndarray, list[np.ndarray]]:
    from scipy.signal import butter

    # Equal steps of the ERB-number scale (Glasberg and Moore 1990).
    low, high = (21.4 * np.log10(1 + 0.00437 * hz) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = (10 ** (np.linspace(low, high, BANDS + 1) / 21.4) - 1) / 0.00437
    bands = [butter(2, pair, "bandpass", fs=RATE_HZ, output="sos") for pair in pairwise(edges)]
    return butter(2, ENVELOPE_HZ, fs=RATE_HZ, output="sos"), bands


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The envelopes of 20 bands (80-7600 Hz) on white noise: speech without any pitch."""
    from scipy.signal import sosfilt, sosfiltfilt

    smooth, bands = _filters()
    noise = rng.standard_normal(len(wave))
    out = np.zeros(len(wave))
    for band in bands:
        power = np.maximum(sosfiltfilt(smooth, sosfilt(band, wave) ** 2), 0.0)
        carrier = sosfilt(band, noise)
        out += np.sqrt(power) * carrier / np.sqrt(np.mean(carrier**2))
    return fit(out, len(wave))
