"""Folds' held-out rows and the decision that is fitted on them: how good it is where it was not fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from synatt.openset import Confidence, fit_confidence, probabilities


@dataclass(frozen=True)
class Judged:
    """What a fold's network said of N rows it was not trained on.

    Attributes:
        logits: float32 ``[N, C]``.
        truth: int ``[N]``; a known class that the fold was trained without is unknown here.
        generator: text ``[N]``, who made the row.
        unlikeness: float64 ``[N]``, see `synatt.neighbours`; None where the model keeps none.
        level: text ``[N]``, how strongly each was perturbed; None where nobody asks.
    """

    logits: np.ndarray
    truth: np.ndarray
    generator: np.ndarray
    unlikeness: np.ndarray | None = None
    level: np.ndarray | None = None

    @classmethod
    def together(cls, parts: "Sequence[Judged]") -> "Judged":
        """All rows of some folds, without their levels."""
        unlikeness = [part.unlikeness for part in parts if part.unlikeness is not None]
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.generator for part in parts]),
            # A fold may have had too few known clips to be anybody's neighbours.
            np.concatenate(unlikeness) if len(unlikeness) == len(parts) else None,
        )

    def fit(self, unknown: int | None, open_set: bool) -> Confidence:
        """See `fit_confidence`."""
        return fit_confidence(self.logits, self.truth, self.generator, unknown, open_set, self.unlikeness)

    def probabilities(self, how: Confidence, unknown: int | None) -> np.ndarray:
        """float64 ``[N, C]``."""
        far = None if self.unlikeness is None else torch.from_numpy(self.unlikeness)
        return probabilities(torch.from_numpy(self.logits.astype(np.float64)), how, unknown, far).numpy()

    def answers(self, how: Confidence, unknown: int | None) -> np.ndarray:
        """int ``[N]``: the most probable class of each row."""
        return self.probabilities(how, unknown).argmax(axis=1)


def fitted_elsewhere(folds: Mapping[int, Judged], fold: int, unknown: int) -> Confidence:
    """The decision that the other folds' rows have fitted; of a single fold, its own."""
    others = Judged.together([part for number, part in folds.items() if number != fold] or [folds[fold]])
    if folds[fold].unlikeness is None:
        others = replace(others, unlikeness=None)
    return others.fit(unknown, open_set=True)


def decided_f1(folds: Mapping[int, Judged], unknown: int) -> dict[int, float]:
    """Macro F1 of each fold, its rows decided as the other folds' rows have it; of a single fold, by its own.

    The largest of all logits, which needs no fitting, says little here: it takes new algorithms for known ones.
    """
    from sklearn.metrics import f1_score

    found = {}
    for fold, rows in folds.items():
        answer = rows.answers(fitted_elsewhere(folds, fold, unknown), unknown)
        found[fold] = float(f1_score(rows.truth, answer, average="macro", zero_division=0))
    return found
