"""Choosing an epoch count from the folds' validation curves. Pure functions; `distributed.tuning` makes the curves."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from synatt.openset import Confidence

# fold -> epoch (from 1) -> macro F1
Curves = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Choice:
    """The epoch count of one backbone and the evidence for it.

    Attributes:
        epochs: the chosen count.
        macro_f1: mean over the folds at that count.
        spread: standard deviation over the folds there (sample, 0 for one fold).
        best_epochs: where the mean peaks; differs from `epochs` under the one-standard-error rule.
        compared_epochs: counts up to this one were reached by all folds and compared.
        confidence: how logits become probabilities, fitted on all folds' held-out rows at the chosen count.
    """

    epochs: int
    macro_f1: float
    spread: float
    best_epochs: int
    compared_epochs: int
    confidence: Confidence = field(default_factory=Confidence)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_curve(curves: Curves) -> dict[int, float]:
    """epoch -> mean macro F1, over the epochs that every fold reached, so that all means are over the same folds."""
    if not curves:
        return {}
    common = sorted(set.intersection(*(set(curve) for curve in curves.values())))
    return {epoch: float(np.mean([curve[epoch] for curve in curves.values()])) for epoch in common}


def choose(curves: Curves, one_standard_error: bool = False) -> Choice:
    """The epoch count whose mean macro F1 over the folds is highest; ties go to the smaller.

    Args:
        one_standard_error: take the smallest count whose mean is within one standard error (over the folds, at the
            peak) of the highest (Breiman et al. 1984).

    Raises:
        ValueError: no epoch was reached by all folds.
    """
    mean = mean_curve(curves)
    if not mean:
        raise ValueError("no epoch was reached by every fold")
    best = max(mean, key=lambda epoch: (mean[epoch], -epoch))
    chosen = best
    if one_standard_error and len(curves) > 1:
        margin = mean[best] - _spread(curves, best) / math.sqrt(len(curves))
        chosen = min(epoch for epoch in mean if mean[epoch] >= margin)
    return Choice(chosen, mean[chosen], _spread(curves, chosen), best, max(mean))


def _spread(curves: Curves, epoch: int) -> float:
    values = [curve[epoch] for curve in curves.values()]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def is_hopeless(curves: Curves, epoch: int, grace: int, patience: int) -> bool:
    """Whether a fold that has just finished `epoch` should go no further.

    It should not when the mean over all folds that have started, taken where each of them has arrived, has not risen
    for `patience` epochs, or is 1: no later mean is higher, and ties go to the smaller count. One hard fold alone stops
    nothing. Once the mean has stalled, later folds stop there too.

    Args:
        curves: of the folds that have started, the asking one among them.
        grace: nothing stops before this many epochs.
    """
    mean = mean_curve(curves)
    reached = [e for e in mean if e <= epoch]
    if epoch < grace or not reached:
        return False
    best = {e: max((m for m in reached if m <= e), key=lambda m: (mean[m], -m)) for e in reached if e >= grace}
    return any(e - m >= patience or mean[m] >= 1.0 for e, m in best.items())
