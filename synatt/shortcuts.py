"""What a recording tells without a word being heard: level, silence, bandwidth, duration. Plain numpy on one wave.

A set of recordings in which these alone tell the classes apart measures how it was made, not who made the voices.
"""

import numpy as np

from synatt.constants import RATE_HZ

# Family -> its features, in the order of `features`; a unit ends each name.
FAMILIES: dict[str, tuple[str, ...]] = {
    "level": ("rms_dbfs", "peak_dbfs"),
    "silence": ("leading_s", "trailing_s", "silent_share"),
    "bandwidth": ("rolloff95_hz", "rolloff99_hz", "above4k_db", "above6k_db", "above7k_db"),
    "duration": ("duration_s",),
}
FEATURES: tuple[str, ...] = tuple(name for names in FAMILIES.values() for name in names)

FRAME = RATE_HZ // 100
# Speech sinks this far below its loudest 10 ms only between utterances: its own faint sounds lie within 40 dB.
SILENCE_DB = -40.0
WINDOW = 512
# Stands for no energy at all, so that every feature is finite.
NOTHING = 1e-12


def features(wave: np.ndarray) -> np.ndarray:
    """float64 ``[FEATURES]`` of a float wave ``[S]`` at 16 kHz, S > 0, full scale 1. All are finite."""
    wave = np.asarray(wave, np.float64)
    return np.array([*level(wave), *silence(wave), *bandwidth(wave), len(wave) / RATE_HZ])


def level(wave: np.ndarray) -> tuple[float, float]:
    """Root mean square and peak, in dB of full scale."""
    return _db(np.mean(wave**2)), _db(np.max(np.abs(wave)) ** 2)


def silence(wave: np.ndarray) -> tuple[float, float, float]:
    """Seconds of silence before and after the speech, and the silent share of all: 10 ms frames, see `SILENCE_DB`."""
    frames = max(1, len(wave) // FRAME)
    power = np.mean(wave[: frames * FRAME].reshape(frames, -1) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    if not len(loud):
        return 0.0, 0.0, 1.0
    step_s = FRAME / RATE_HZ
    return loud[0] * step_s, (frames - 1 - loud[-1]) * step_s, 1 - len(loud) / frames


def bandwidth(wave: np.ndarray) -> tuple[float, float, float, float, float]:
    """Hz below which 95 and 99 % of the power lie; power above 4, 6 and 7 kHz in dB of all. The mean is left out."""
    power = spectrum(wave - wave.mean())
    hz = np.arange(len(power)) * RATE_HZ / WINDOW
    total = power.sum() + NOTHING
    reached = np.cumsum(power) / total
    rolloff = [float(hz[np.argmax(reached >= share * reached[-1])]) for share in (0.95, 0.99)]
    above = [_db(power[hz >= edge].sum() / total) for edge in (4_000, 6_000, 7_000)]
    return rolloff[0], rolloff[1], above[0], above[1], above[2]


def spectrum(wave: np.ndarray) -> np.ndarray:
    """float64 ``[257]``: mean power spectrum over Hann windows of 32 ms, half of each shared (Welch 1967)."""
    padded = np.pad(wave, (0, max(0, WINDOW - len(wave))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: WINDOW // 2]
    return np.asarray(np.mean(np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2, axis=0))


def _db(power: float) -> float:
    return float(10 * np.log10(power + NOTHING))
