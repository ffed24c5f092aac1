"""Cross-entropy against probability labels, and how far two views of one clip are apart."""

import torch


def soft_cross_entropy(
    logits_BC: torch.Tensor, target_BC: torch.Tensor, smoothing: float = 0.0, focus: float = 0.0
) -> torch.Tensor:
    """Per-clip categorical cross-entropy ``[B]``, in nats.

    Args:
        target_BC: probabilities, rows sum to 1 (one-hot, soft or mixed).
        smoothing: share of each target moved to the uniform distribution (label smoothing, Szegedy et al. 2016).
        focus: gamma of the focal loss (Lin et al. 2017): each class's term weighs (1 - p)^gamma, so that clips the
            network is sure of count less; 0 leaves the cross-entropy.
    """
    target_BC = target_BC * (1 - smoothing) + smoothing / target_BC.shape[1]
    log_p_BC = torch.log_softmax(_wide(logits_BC), dim=1)
    if focus:
        target_BC = target_BC * (-torch.expm1(log_p_BC)).clamp_min(0.0) ** focus
    return -(target_BC * log_p_BC).sum(dim=1)


def disagreement(one_BC: torch.Tensor, other_BC: torch.Tensor) -> torch.Tensor:
    """How far the softmax of one view is from that of another: ``[B]``, in nats.

    Half the sum of both Kullback-Leibler divergences (R-Drop, Liang et al. 2021).
    """
    one_BC, other_BC = (torch.log_softmax(_wide(x), dim=1) for x in (one_BC, other_BC))
    return ((one_BC.exp() - other_BC.exp()) * (one_BC - other_BC)).sum(dim=1) / 2


def class_weights(target_NC: torch.Tensor) -> torch.Tensor:
    """``[C]``: N / (C x clips of the class), so that all classes weigh alike and a clip 1 on average.

    Args:
        target_NC: probability labels of all N training clips; a class without any has weight 0.
    """
    clips_C = target_NC.sum(dim=0)
    present_C = clips_C > 0
    return torch.where(present_C, len(target_NC) / (present_C.sum() * clips_C.clamp_min(1e-12)), 0.0)


def _wide(logits_BC: torch.Tensor) -> torch.Tensor:
    """Half precision is widened; float64, which checks gradients, stays."""
    return logits_BC.to(torch.promote_types(logits_BC.dtype, torch.float32))
