"""Draws that all augmentations share. One numpy generator decides; bulk noise comes from a torch generator it seeds."""

import numpy as np
import torch


def chosen(rng: np.random.Generator, count: int, p: float, device: torch.device) -> torch.Tensor:
    """bool ``[count]``: each true with probability `p`."""
    return torch.from_numpy(rng.random(count) < p).to(device)


def uniform(rng: np.random.Generator, count: int, low: float, high: float, device: torch.device) -> torch.Tensor:
    """float32 ``[count]`` in ``[low, high)``."""
    return torch.from_numpy(rng.uniform(low, high, count).astype(np.float32)).to(device)


def torch_generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    """A torch generator on `device`, seeded by `rng`."""
    return torch.Generator(device=device).manual_seed(int(rng.integers(1 << 62)))
