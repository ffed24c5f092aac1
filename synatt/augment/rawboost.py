"""RawBoost: what a telephone line and a cheap microphone do to a signal (Tak et al. 2022, arXiv 2111.04433).

Three kinds of noise in series, with the ranges that the authors' code has as its defaults: convolutive, linear and not
(notch filters over powers of the signal); impulsive, dependent on the signal; stationary, independent of it (white
noise through such a filter).
"""

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import firwin

from synatt.augment.draw import chosen
from synatt.constants import RATE_HZ
from synatt.recipe import Augment

# Notches of a filter; their centres and widths in Hz, and how many taps each has.
NOTCHES = 5
CENTRE_HZ, WIDTH_HZ, TAPS = (20.0, RATE_HZ / 2), (100.0, 1000.0), (10, 100)
# Powers of the signal, and by how much those above the first are weaker.
POWERS = 5
WEAKER_DB = (5.0, 20.0)
# Of the samples at most this share is hit, by at most this much of the sample itself.
HIT, HIT_GAIN = 0.1, 2.0
SNR_DB = (10.0, 40.0)


def augment_rawboost(wave_BS: torch.Tensor, settings: Augment, rng: np.random.Generator) -> torch.Tensor:
    """``[B, S]`` standardised clips, those drawn with `rawboost_p` through all three kinds of noise, one by one."""
    if not settings.rawboost_p:
        return wave_BS
    which = chosen(rng, len(wave_BS), settings.rawboost_p, torch.device("cpu")).nonzero()[:, 0].tolist()
    out_BS = wave_BS.clone()
    for row in which:
        made = stationary(impulsive(convolutive(wave_BS[row].cpu().numpy(), rng), rng), rng)
        out_BS[row] = torch.from_numpy(made).to(wave_BS)
    return out_BS


def convolutive(wave_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 ``[S]`` of zero mean and the given one's deviation: the sum of its filtered powers 1 to `POWERS`."""
    # Powers are of a signal within -1 and 1.
    scaled_S = wave_S / max(float(np.abs(wave_S).max()), 1e-12)
    size = next_fast_len(len(wave_S) + NOTCHES * TAPS[1], real=True)
    spectrum, power_S = np.zeros(size // 2 + 1, np.complex64), np.ones_like(scaled_S)
    for power in range(1, POWERS + 1):
        gain = 1.0 if power == 1 else 10 ** (-float(rng.uniform(*WEAKER_DB)) / 20)
        power_S = power_S * scaled_S
        spectrum += np.float32(gain) * _response(notches(rng), size) * rfft(power_S, size)
    return _like(irfft(spectrum, size)[: len(wave_S)], wave_S)


def impulsive(wave_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 ``[S]``: some samples moved by up to `HIT_GAIN` of themselves, either way."""
    hit = np.flatnonzero(rng.random(len(wave_S), np.float32) < rng.uniform(0, HIT))
    moved_S = wave_S.copy()
    moved_S[hit] *= (1 + HIT_GAIN * rng.uniform(-1, 1, len(hit)) * rng.uniform(-1, 1, len(hit))).astype(np.float32)
    return _like(moved_S, wave_S)


def stationary(wave_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 ``[S]``: with white noise through a notch filter, at 10 to 40 dB."""
    size = next_fast_len(len(wave_S) + NOTCHES * TAPS[1], real=True)
    noise_S = irfft(rfft(notches(rng), size) * rfft(rng.standard_normal(size, np.float32)), size)[: len(wave_S)]
    level = np.sqrt(np.square(wave_S).mean() / max(float(np.square(noise_S).mean()), 1e-12))
    return (wave_S + noise_S * level * 10 ** (-float(rng.uniform(*SNR_DB)) / 20)).astype(np.float32)


def notches(rng: np.random.Generator) -> np.ndarray:
    """float32 taps of a drawn filter with `NOTCHES` notches, whose gain is 1 where it is largest."""
    taps = np.ones(1)
    for _ in range(NOTCHES):
        centre, width = rng.uniform(*CENTRE_HZ), rng.uniform(*WIDTH_HZ)
        low = max(centre - width / 2, 1.0)
        high = min(centre + width / 2, RATE_HZ / 2 - 1.0)
        # A filter that passes both ends of the spectrum has an odd number of taps.
        count = int(rng.integers(*TAPS)) | 1
        taps = np.convolve(taps, firwin(count, [low, max(high, low + 1.0)], window="hamming", fs=RATE_HZ))
    return (taps / np.abs(rfft(taps, 4096)).max()).astype(np.float32)


def _response(taps: np.ndarray, size: int) -> np.ndarray:
    """complex64 ``[size // 2 + 1]``: of the filter without its delay, which differs by power."""
    centred = np.roll(np.pad(taps, (0, size - len(taps))), -(len(taps) // 2))
    return rfft(centred)


def _like(wave_S: np.ndarray, given_S: np.ndarray) -> np.ndarray:
    """Zero mean, and the given one's standard deviation."""
    centred_S = wave_S - wave_S.mean()
    return (centred_S * (given_S.std() / max(float(centred_S.std()), 1e-12))).astype(np.float32)
