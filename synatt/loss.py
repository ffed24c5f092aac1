"""Cross-entropy against probability labels."""

import torch


def soft_cross_entropy(logits_BC: torch.Tensor, target_BC: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Per-clip categorical cross-entropy ``[B]``, in nats.

    Args:
        target_BC: probabilities, rows sum to 1 (one-hot, soft or mixed).
        smoothing: share of each target moved to the uniform distribution (label smoothing, Szegedy et al. 2016).
    """
    target_BC = target_BC * (1 - smoothing) + smoothing / target_BC.shape[1]
    # Half precision is widened; float64, which checks gradients, stays.
    logits_BC = logits_BC.to(torch.promote_types(logits_BC.dtype, torch.float32))
    return -(target_BC * torch.log_softmax(logits_BC, dim=1)).sum(dim=1)
