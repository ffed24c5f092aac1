"""Copies that keep the short-time spectrum and make up its phase (torchaudio): Griffin-Lim, phase vocoder."""

import math

import numpy as np

from synatt.quickstart.copies import fit

N_FFT, HOP = 1024, 256


def griffin_lim(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The STFT magnitude with a phase found by 32 rounds of Griffin and Lim (1984) from a random start."""
    import torch
    import torchaudio

    window = torch.hann_window(N_FFT)
    magnitude = torch.stft(torch.from_numpy(wave), N_FFT, HOP, window=window, return_complex=True).abs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        # No momentum: the plain algorithm, whose phase is never quite consistent.
        copied = torchaudio.functional.griffinlim(
            magnitude, window, N_FFT, HOP, N_FFT, power=1.0, n_iter=32, momentum=0.0, length=len(wave), rand_init=True
        )
    return fit(copied.numpy(), len(wave))


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
