"""Augmentation of standardised waveforms ``[B, S]``: unit deviation, so a noise level is relative to the speech."""

import numpy as np
import torch

from synatt.augment.draw import chosen, torch_generator, uniform
from synatt.recipe import Augment


def augment_waveform(wave_BS: torch.Tensor, settings: Augment, rng: np.random.Generator) -> torch.Tensor:
    """Gaussian noise, circular shift and reversal, each with its own probability inside the group's."""
    group_B = chosen(rng, len(wave_BS), settings.group_p, wave_BS.device)
    wave_BS = add_noise(wave_BS, group_B & _draw(wave_BS, settings.noise_p, rng), settings.noise_std, rng)
    if settings.shift_p:
        wave_BS = shift(wave_BS, group_B & _draw(wave_BS, settings.shift_p, rng), rng)
    if settings.reverse_p:
        wave_BS = reverse(wave_BS, group_B & _draw(wave_BS, settings.reverse_p, rng))
    return wave_BS


def _draw(wave_BS: torch.Tensor, p: float, rng: np.random.Generator) -> torch.Tensor:
    return chosen(rng, len(wave_BS), p, wave_BS.device)


def add_noise(
    wave_BS: torch.Tensor, which_B: torch.Tensor, std: tuple[float, float], rng: np.random.Generator
) -> torch.Tensor:
    """Add white Gaussian noise of standard deviation U(std) to the clips in `which_B`."""
    std_B = uniform(rng, len(wave_BS), *std, wave_BS.device) * which_B
    generator = torch_generator(rng, wave_BS.device)
    noise_BS = torch.randn(wave_BS.shape, generator=generator, device=wave_BS.device, dtype=wave_BS.dtype)
    return wave_BS + std_B[:, None] * noise_BS


def shift(wave_BS: torch.Tensor, which_B: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Rotate the clips in `which_B` by a uniform number of samples; what leaves at the end comes in at the start."""
    samples = wave_BS.shape[1]
    by_B = torch.from_numpy(rng.integers(0, samples, len(wave_BS))).to(wave_BS.device) * which_B
    index_BS = (torch.arange(samples, device=wave_BS.device)[None] - by_B[:, None]) % samples
    return wave_BS.gather(1, index_BS)


def reverse(wave_BS: torch.Tensor, which_B: torch.Tensor) -> torch.Tensor:
    """Play the clips in `which_B` backwards."""
    return torch.where(which_B[:, None], wave_BS.flip(1), wave_BS)
