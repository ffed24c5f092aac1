"""Sinusoidal analysis and synthesis after McAulay and Quatieri (1986): nothing but spectral peaks is kept."""

import numpy as np

from synatt.copies import fit

WINDOW, HOP, N_FFT, PEAKS = 512, 128, 1024, 20


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The 20 strongest spectral peaks of each frame (8 ms apart) as sinusoids of measured frequency, level and phase.

    Frames are overlapped and added; there is no noise part, so breath and fricatives turn into short tones.
    """
    half = WINDOW // 2
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(wave.astype(np.float64), (half, WINDOW))
    starts = np.arange(0, len(wave) + HOP, HOP)
    frames_TW = padded[starts[:, None] + np.arange(WINDOW)] * window
    # Zero phase at the frame's centre, where the measured phase is least sensitive to the frequency.
    centred = np.concatenate(
        [frames_TW[:, half:], np.zeros((len(starts), N_FFT - WINDOW)), frames_TW[:, :half]], axis=1
    )
    bins_TP, level_TP, phase_TP = _peaks(np.fft.rfft(centred, axis=1), window.sum() / 2)
    omega_TP = 2 * np.pi * bins_TP / N_FFT
    out = np.zeros(len(wave) + 2 * WINDOW)
    time = np.arange(-HOP, HOP)
    fade = 1 - np.abs(time) / HOP
    for start, omega, level, phase in zip(starts, omega_TP, level_TP, phase_TP, strict=True):
        tones = level @ np.cos(omega[:, None] * time + phase[:, None])
        out[start : start + 2 * HOP] += fade * tones
    return fit(out[HOP:], len(wave))


def _peaks(spectrum_TF: np.ndarray, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Local maxima, refined by a parabola through three log magnitudes (Smith and Serra 1987).
    magnitude = np.abs(spectrum_TF) + 1e-12
    log = np.log(magnitude)
    left, mid, right = log[:, :-2], log[:, 1:-1], log[:, 2:]
    found = np.where((mid > left) & (mid >= right), mid, -np.inf)
    best = np.argsort(-found, axis=1)[:, :PEAKS]
    rows = np.arange(len(best))[:, None]
    a, b, c = left[rows, best], mid[rows, best], right[rows, best]
    curve = a - 2 * b + c
    offset = np.where(curve < 0, 0.5 * (a - c) / np.where(curve < 0, curve, -1.0), 0.0)
    real = np.isfinite(found[rows, best])
    level = np.where(real, np.exp(b - 0.25 * (a - c) * offset) / gain, 0.0)
    return best + 1 + offset, level, np.angle(spectrum_TF[rows, best + 1])
