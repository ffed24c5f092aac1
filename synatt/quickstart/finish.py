"""What every clip of every algorithm goes through last, so that rate, bandwidth, level and silence tell nothing."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.quickstart.synthesizers import Speech

LOWPASS_HZ = 7_000.0
TAPS = 255
SILENCE_DB = -45.0  # of the loudest frame
LEVEL_DB = (-30.0, -20.0)
FLOOR_DB = (-72.0, -62.0)
EDGE_S = (0.05, 0.40)


def to_16k(speech: Speech) -> np.ndarray:
    """float32 `[S]` at 16 kHz, without the silence before and after."""
    import soxr

    return trim(soxr.resample(speech.wave.astype(np.float64), speech.rate_hz, RATE_HZ).astype(np.float32))


def trim(wave: np.ndarray) -> np.ndarray:
    """`wave` from the first to the last 10 ms that lie within 45 dB of its loudest 10 ms."""
    step = RATE_HZ // 100
    frames = len(wave) // step
    if frames == 0:
        return wave
    power = np.mean(wave[: frames * step].reshape(frames, step).astype(np.float64) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    return wave[loud[0] * step : (loud[-1] + 1) * step] if len(loud) else wave


def finish(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 `[S + edges]`: trimmed, low-passed at 7 kHz, at -30..-20 dBFS, 0.05-0.4 s silence each side, dithered.

    The dither is white noise at -72..-62 dBFS under the whole clip; peaks are brought under 0.99.
    """
    from scipy.signal import firwin, oaconvolve

    shaped = oaconvolve(trim(wave).astype(np.float64), firwin(TAPS, LOWPASS_HZ, fs=RATE_HZ), mode="same")
    level_db, floor_db = rng.uniform(*LEVEL_DB), rng.uniform(*FLOOR_DB)
    rms = max(float(np.sqrt(np.mean(shaped**2))), 1e-9)
    before, after = (round(s * RATE_HZ) for s in rng.uniform(*EDGE_S, size=2))
    out = np.pad(shaped * 10 ** (level_db / 20) / rms, (before, after))
    out = out + 10 ** (floor_db / 20) * rng.standard_normal(len(out))
    peak = float(np.abs(out).max(initial=0.0))
    return (out * min(1.0, 0.99 / max(peak, 1e-9))).astype(np.float32)
