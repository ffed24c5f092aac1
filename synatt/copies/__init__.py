"""Vocoder copies: speech taken apart and put together again, so that the last algorithm is the vocoder.

Each copy is a function (float32 wave [samples] at 16 kHz, rng) -> float32 wave [samples], as long as what came in.
One module a family: `world`, `spectral`, `source_filter`, `sinusoidal`, `sinewave`, `psola`,
`channel`, `lowrate`.
"""

from collections.abc import Callable

import numpy as np

Copy = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def fit(wave: np.ndarray, samples: int) -> np.ndarray:
    """float32 `[samples]`: `wave` cut, or filled with zeros at its end."""
    out = np.zeros(samples, np.float32)
    kept = min(samples, len(wave))
    out[:kept] = wave[:kept]
    return out
