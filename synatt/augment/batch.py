"""Augmentation that mixes clips of a batch, and their probability labels with them."""

import numpy as np
import torch

from synatt.recipe import Augment

Pair = tuple[torch.Tensor, torch.Tensor]


def augment_batch(
    logmel_BMT: torch.Tensor, target_BC: torch.Tensor, settings: Augment, rng: np.random.Generator
) -> Pair:
    """Mixup, then cutmix along time, each on the whole batch with its own probability."""
    if rng.random() < settings.mixup_p:
        logmel_BMT, target_BC = mixup(logmel_BMT, target_BC, settings.mixup_alpha, rng)
    if rng.random() < settings.cutmix_p:
        logmel_BMT, target_BC = cutmix(logmel_BMT, target_BC, settings.cutmix_alpha, rng)
    return logmel_BMT, target_BC


def mixup(logmel_BMT: torch.Tensor, target_BC: torch.Tensor, alpha: float, rng: np.random.Generator) -> Pair:
    """lambda x + (1 - lambda) x' with one lambda ~ Beta(alpha, alpha) per clip (Zhang et al. 2018)."""
    count = len(logmel_BMT)
    share_B = torch.from_numpy(rng.beta(alpha, alpha, count).astype(np.float32)).to(logmel_BMT.device)
    other = _partners(count, rng, logmel_BMT.device)
    mixed_BMT = logmel_BMT + (1 - share_B)[:, None, None] * (logmel_BMT[other] - logmel_BMT)
    return mixed_BMT, target_BC + (1 - share_B)[:, None] * (target_BC[other] - target_BC)


def cutmix(logmel_BMT: torch.Tensor, target_BC: torch.Tensor, alpha: float, rng: np.random.Generator) -> Pair:
    """Replace one stretch of time by another clip's (Yun et al. 2019), one lambda ~ Beta(alpha, alpha) per batch.

    Labels are mixed by the share of frames that was really replaced.
    """
    frames = logmel_BMT.shape[2]
    width = round((1 - float(rng.beta(alpha, alpha))) * frames)
    start = int(rng.integers(0, frames - width + 1))
    other = _partners(len(logmel_BMT), rng, logmel_BMT.device)
    cut_BMT = logmel_BMT.clone()
    cut_BMT[:, :, start : start + width] = logmel_BMT[other][:, :, start : start + width]
    return cut_BMT, target_BC + width / frames * (target_BC[other] - target_BC)


def _partners(count: int, rng: np.random.Generator, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(rng.permutation(count)).to(device)
