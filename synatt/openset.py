"""Known or unknown, then which: the decision from a score whose place was set on generators that were left out.

The largest probability over all classes finds only unknown speech that resembles what training called unknown. What
says more of a new generator is how little any *known* class fits: one minus the largest known probability (Hendrycks
and Gimpel 2017). Its log-odds, stretched and moved so that they are probabilities (Platt 1999), become the probability
of 'unknown'; the known classes share the rest as they did.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from synatt.calibration import fit_temperature
from synatt.recipe import Predict, Recipe

# Rows that all rows together count as, against the regulariser of the regression.
EVIDENCE = 1000.0


@dataclass(frozen=True)
class Confidence:
    """How logits become probabilities.

    Attributes:
        temperature: of the softmax; with a slope, of the one over the known classes.
        slope, bias: P(unknown) = sigmoid(slope x log-odds + bias); None: the softmax over all classes is the answer.
    """

    temperature: float = 1.0
    slope: float | None = None
    bias: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, settings: Predict) -> "Confidence":
        """What a recipe says of it."""
        return cls(settings.temperature, settings.unknown_slope, settings.unknown_bias)

    def into(self, recipe: Recipe) -> Recipe:
        """`recipe` whose predictions are made with it."""
        values = {"temperature": self.temperature, "unknown_slope": self.slope, "unknown_bias": self.bias}
        return recipe.model_copy(update={"predict": recipe.predict.model_copy(update=values)})


def log_odds(logits: torch.Tensor, unknown: int) -> torch.Tensor:
    """``[..., C]`` logits -> ``[...]``: log (1 - p) / p of the largest known probability p under the softmax."""
    known = torch.cat([logits[..., :unknown], logits[..., unknown + 1 :]], dim=-1)
    best, at = known.max(dim=-1)
    rest = torch.cat([logits[..., unknown : unknown + 1], known.scatter(-1, at[..., None], -torch.inf)], dim=-1)
    return torch.logsumexp(rest, dim=-1) - best


def probabilities(logits: torch.Tensor, how: Confidence, unknown: int | None) -> torch.Tensor:
    """Class probabilities ``[..., C]`` from logits; `unknown` is the index of that class, None where there is none."""
    if how.slope is None or how.bias is None or unknown is None:
        return torch.softmax(logits / how.temperature, dim=-1)
    p_unknown = torch.sigmoid(how.slope * log_odds(logits, unknown) + how.bias)[..., None]
    masked = logits.clone()
    masked[..., unknown] = -torch.inf
    p = torch.softmax(masked / how.temperature, dim=-1) * (1 - p_unknown)
    p[..., unknown] = p_unknown[..., 0]
    return p


def fit_confidence(
    logits_NC: np.ndarray, truth_N: np.ndarray, generator_N: np.ndarray, unknown: int | None, open_set: bool
) -> Confidence:
    """The confidence that fits held-out rows best.

    Args:
        truth_N: int classes.
        generator_N: generators of the rows, any text; unknown ones count evenly, whatever their numbers of clips.
        open_set: fit slope and bias too, which only means something where the generators of unknown rows were not
            trained on. Known and unknown rows, and the classes among the known ones, count evenly.

    Returns:
        without slope and bias where there is no unknown class, or rows of only one side.
    """
    is_unknown = truth_N == unknown if unknown is not None else np.zeros(len(truth_N), bool)
    if not open_set or unknown is None or not is_unknown.any() or is_unknown.all():
        return Confidence(fit_temperature(logits_NC, truth_N))
    from sklearn.linear_model import LogisticRegression

    score = log_odds(torch.from_numpy(logits_NC.astype(np.float64)), unknown).numpy()[:, None]
    group = np.where(is_unknown, generator_N.astype(str), truth_N.astype(str))
    weight = np.zeros(len(truth_N))
    for side in (is_unknown, ~is_unknown):
        names, which, count = np.unique(group[side], return_inverse=True, return_counts=True)
        weight[side] = EVIDENCE / (2 * len(names) * count[which])
    model = LogisticRegression(C=1.0).fit(score, is_unknown, sample_weight=weight)
    known = [c for c in range(logits_NC.shape[1]) if c != unknown]
    inside = np.searchsorted(known, truth_N[~is_unknown])
    temperature = fit_temperature(logits_NC[~is_unknown][:, known], inside)
    # A slope below zero would call the surest clips unknown: the score says nothing then.
    slope, bias = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Confidence(temperature, slope, bias) if slope > 0 else Confidence(fit_temperature(logits_NC, truth_N))
