"""Copies that keep short-time magnitudes and make up the phase (torchaudio): mel inversion, phase vocoder."""

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit

if TYPE_CHECKING:
    import torch

N_FFT, HOP, MEL_BANDS = 1024, 256, 60


def mel_griffin_lim(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A 60-band mel spectrogram turned back by least squares, its phase by 16 rounds of Griffin and Lim (1984).

    What Tacotron (Wang et al. 2017) ended in before neural vocoders: harmonics blur where bands are wide.
    """
    import torch
    import torchaudio

    window, bank = torch.hann_window(N_FFT), _mel_bank()
    magnitude = torch.stft(torch.from_numpy(wave), N_FFT, HOP, window=window, return_complex=True).abs()
    inverse = torch.linalg.pinv(bank)
    guessed = (inverse @ (bank @ magnitude)).clamp(min=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        copied = torchaudio.functional.griffinlim(
            guessed, window, N_FFT, HOP, N_FFT, power=1.0, n_iter=16, momentum=0.0, length=len(wave), rand_init=True
        )
    return fit(copied.numpy(), len(wave))


@cache
def _mel_bank() -> "torch.Tensor":
    import torchaudio

    return torchaudio.functional.melscale_fbanks(N_FFT // 2 + 1, 0.0, RATE_HZ / 2, MEL_BANDS, RATE_HZ).T


def phase_vocoder(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flanagan and Golden's phase vocoder: stretched in time by a drawn factor and then back.

    The factor lies in 0.6-0.8 or 1.25-1.6. Each way accumulates phase on its own, which smears transients.
    """
    import torch
    import torchaudio

    rate = float(rng.uniform(1.25, 1.6)) ** float(rng.choice((-1.0, 1.0)))
    window, hop = torch.hann_window(N_FFT), N_FFT // 4
    advance = torch.linspace(0, math.pi * hop, N_FFT // 2 + 1)[:, None]
    there = torch.from_numpy(wave)
    for step, samples in ((rate, round(len(wave) / rate)), (1 / rate, len(wave))):
        spectrum = torch.stft(there, N_FFT, hop, window=window, return_complex=True)
        spectrum = torchaudio.functional.phase_vocoder(spectrum, step, advance)
        there = torch.istft(spectrum, N_FFT, hop, window=window, length=samples)
    return fit(there.numpy(), len(wave))
