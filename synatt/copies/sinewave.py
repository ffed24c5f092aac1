"""Sine-wave speech (Remez, Rubin, Pisoni and Carrell 1981): a tone in place of each formant."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit

HALF_HZ, ORDER, TONES = 5_000, 10, 4
FRAME_S, HOP_S = 0.025, 0.005


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Four sinusoids that follow the four lowest resonances of linear prediction (order 10, below 5 kHz).

    Their level is the prediction spectrum's at that frequency; there is neither pitch nor noise.
    """
    import soxr

    rate_hz = 2 * HALF_HZ
    narrow = soxr.resample(wave.astype(np.float64), RATE_HZ, rate_hz)
    size, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    emphasised = np.append(narrow[:1], narrow[1:] - 0.94 * narrow[:-1])
    padded = np.pad(emphasised, (size // 2, size))
    frames_TW = padded[np.arange(0, len(narrow), hop)[:, None] + np.arange(size)] * np.hamming(size)
    freq_TK, level_TK = np.transpose([_formants(frame) for frame in frames_TW], (1, 0, 2))
    samples = np.arange(len(wave)) / RATE_HZ
    times = np.arange(len(frames_TW)) * HOP_S
    out = np.zeros(len(wave))
    for freq, level in zip(freq_TK.T, level_TK.T, strict=True):
        phase = 2 * np.pi * np.cumsum(np.interp(samples, times, freq)) / RATE_HZ
        out += np.interp(samples, times, level) * np.sin(phase + rng.uniform(0, 2 * np.pi))
    return fit(out, len(wave))


def _formants(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # (Hz, level) of the lowest resonances; missing ones are silent at their neutral place.
    from scipy.linalg import solve_toeplitz

    neutral = np.array([500.0, 1500.0, 2500.0, 3500.0])[:TONES]
    power = np.fft.irfft(np.abs(np.fft.rfft(frame, 1024)) ** 2)[: ORDER + 1]
    if power[0] < 1e-7:
        return neutral, np.zeros(TONES)
    power[0] *= 1 + 1e-6
    poles = np.append(1.0, -solve_toeplitz(power[:ORDER], power[1:]))
    gain = np.sqrt(max(float(poles @ power), 0.0) / len(frame))
    roots = np.roots(poles)
    roots = roots[roots.imag > 0.01]
    hz = np.angle(roots) * HALF_HZ / np.pi
    width_hz = -np.log(np.abs(roots)) * 2 * HALF_HZ / np.pi
    found = np.sort(hz[(hz > 150) & (width_hz < 700)])[:TONES]
    freq = neutral.copy()
    freq[: len(found)] = found
    shape = np.abs(np.exp(-1j * np.outer(freq, np.arange(ORDER + 1)) * np.pi / HALF_HZ) @ poles)
    level = np.where(np.arange(TONES) < len(found), gain / np.maximum(shape, 1e-6), 0.0)
    # The emphasis before the analysis is taken back.
    return freq, level / np.abs(1 - 0.94 * np.exp(-1j * np.pi * freq / HALF_HZ))
