"""WORLD (Morise, Yokomori and Ozawa 2016) through `pyworld`: pitch, spectral envelope, aperiodicity, and back."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit

FRAME_MS = 5.0
ENVELOPE_ORDER = 24


def f0_contour(wave: np.ndarray, frame_ms: float = FRAME_MS) -> tuple[np.ndarray, np.ndarray]:
    """(F0 in Hz, time in s), float64 `[frames]` each, 0 Hz where unvoiced: DIO refined by StoneMask."""
    import pyworld

    wave = wave.astype(np.float64)
    f0_hz, time_s = pyworld.dio(wave, RATE_HZ, f0_floor=60.0, f0_ceil=500.0, frame_period=frame_ms)
    return pyworld.stonemask(wave, f0_hz, time_s, RATE_HZ), time_s


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """WORLD analysis (DIO, StoneMask, CheapTrick, D4C), coding, and synthesis.

    The envelope is coded in 24 mel-cepstral and the aperiodicity in 1 band coefficients, every 5 ms, as WORLD's
    authors do it for statistical speech synthesis at 16 kHz.
    """
    import pyworld

    wave64 = wave.astype(np.float64)
    f0_hz, time_s = f0_contour(wave)
    envelope = pyworld.cheaptrick(wave64, f0_hz, time_s, RATE_HZ)
    aperiodicity = pyworld.d4c(wave64, f0_hz, time_s, RATE_HZ)
    n_fft = 2 * (envelope.shape[1] - 1)
    envelope = pyworld.decode_spectral_envelope(
        pyworld.code_spectral_envelope(envelope, RATE_HZ, ENVELOPE_ORDER), RATE_HZ, n_fft
    )
    aperiodicity = pyworld.decode_aperiodicity(pyworld.code_aperiodicity(aperiodicity, RATE_HZ), RATE_HZ, n_fft)
    return fit(pyworld.synthesize(f0_hz, envelope, aperiodicity, RATE_HZ, FRAME_MS), len(wave))
