"""Pulse or noise through a filter that follows the speech (diffsptk): mel-cepstral MLSA, linear prediction.

Excitation is a pulse train at DIO's F0 where voiced and white noise elsewhere, nothing mixed: the classic buzz.
"""

from typing import Any

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit
from synatt.copies.world import f0_contour

PERIOD, FRAME, N_FFT = 80, 400, 512
MEL_ORDER, ALPHA = 24, 0.42  # the usual all-pass constant at 16 kHz
LPC_ORDER = 18


def mlsa(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mel-cepstral analysis of order 24 (Tokuda et al. 1994) and synthesis by the MLSA filter (Imai 1983)."""
    import diffsptk
    import torch

    x = torch.from_numpy(wave)
    power = diffsptk.STFT(frame_length=FRAME, frame_period=PERIOD, fft_length=N_FFT, eps=1e-8)(x)
    cepstra = diffsptk.MelCepstralAnalysis(fft_length=N_FFT, cep_order=MEL_ORDER, alpha=ALPHA, n_iter=1)(power)
    excitation = _excitation(wave, len(cepstra), rng)
    filtered = diffsptk.PseudoMGLSADigitalFilter(
        MEL_ORDER, PERIOD, alpha=ALPHA, mode="single-stage", ir_length=200, n_fft=N_FFT
    )(excitation, cepstra)
    return fit(filtered.numpy(), len(wave))


def lpc(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Autocorrelation linear prediction of order 18 (Atal and Hanauer 1971), all-pole synthesis."""
    import diffsptk
    import torch

    x = torch.from_numpy(wave)
    frames = diffsptk.Window(FRAME)(diffsptk.Frame(FRAME, PERIOD)(x))
    # The small addition to the diagonal keeps the filter stable in digital silence.
    predictor = diffsptk.LPC(FRAME, LPC_ORDER, eps=1e-6)(frames)
    excitation = _excitation(wave, len(predictor), rng)
    return fit(_all_pole(excitation.numpy(), predictor.numpy()), len(wave))


def _excitation(wave: np.ndarray, frames: int, rng: np.random.Generator) -> Any:
    # diffsptk wants the pitch as a period in samples, 0 where unvoiced.
    import diffsptk
    import torch

    f0_hz = fit(f0_contour(wave, 1000 * PERIOD / RATE_HZ)[0], frames)
    period = torch.from_numpy(np.where(f0_hz > 0, RATE_HZ / np.maximum(f0_hz, 1.0), 0.0).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        return diffsptk.ExcitationGeneration(PERIOD)(period)


def _all_pole(excitation: np.ndarray, predictor: np.ndarray) -> np.ndarray:
    # predictor [frames, 1 + order] = gain, a_1..a_p. Coefficients change every frame and the filter's memory carries
    # over; diffsptk's own sample-by-sample interpolation takes half of real time, this a hundredth.
    from scipy.signal import lfilter

    out = np.zeros(len(predictor) * PERIOD)
    memory = np.zeros(LPC_ORDER)
    for i, (gain, *poles) in enumerate(predictor.astype(np.float64)):
        here = slice(i * PERIOD, (i + 1) * PERIOD)
        out[here], memory = lfilter([gain], [1.0, *poles], excitation[here], zi=memory)
    return out
