"""Known or unknown, then which: the decision from a score whose place was set on generators that were left out.

The largest probability over all classes finds only unknown speech that resembles what training called unknown. What
says more of a new generator is how little any *known* class fits: one minus the largest known probability (Hendrycks
and Gimpel 2017). Its log-odds, stretched and moved so that they are probabilities (Platt 1999), become the probability
of 'unknown'; the known classes share the rest as they did. Where the model keeps embeddings of known clips, how far a
clip lies from them (`synatt.neighbours`) is the regression's second term.
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
        temperature: of the softmax; with a bias, of the one over the known classes.
        slope, bias, distance_slope: P(unknown) = sigmoid(slope x log-odds + distance_slope x unlikeness + bias), where
            a slope that is None counts as 0. Bias None: the softmax over all classes is the answer.
    """

    temperature: float = 1.0
    slope: float | None = None
    bias: float | None = None
    distance_slope: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, settings: Predict) -> "Confidence":
        """What a recipe says of it."""
        return cls(settings.temperature, settings.unknown_slope, settings.unknown_bias, settings.unknown_distance_slope)

    def into(self, recipe: Recipe) -> Recipe:
        """`recipe` whose predictions are made with it."""
        values = {
            "temperature": self.temperature,
            "unknown_slope": self.slope,
            "unknown_distance_slope": self.distance_slope,
            "unknown_bias": self.bias,
        }
        return recipe.model_copy(update={"predict": recipe.predict.model_copy(update=values)})


def log_odds(logits: torch.Tensor, unknown: int) -> torch.Tensor:
    """``[..., C]`` logits -> ``[...]``: log (1 - p) / p of the largest known probability p under the softmax."""
    known = torch.cat([logits[..., :unknown], logits[..., unknown + 1 :]], dim=-1)
    best, at = known.max(dim=-1)
    rest = torch.cat([logits[..., unknown : unknown + 1], known.scatter(-1, at[..., None], -torch.inf)], dim=-1)
    return torch.logsumexp(rest, dim=-1) - best


def probabilities(
    logits: torch.Tensor, how: Confidence, unknown: int | None, unlikeness: torch.Tensor | None = None
) -> torch.Tensor:
    """Class probabilities ``[..., C]`` from logits.

    Args:
        unknown: index of that class, None where there is none.
        unlikeness: ``[...]``, see `synatt.neighbours`; needed where `how` has a slope for it.
    """
    if how.bias is None or unknown is None:
        return torch.softmax(logits / how.temperature, dim=-1)
    told = (how.slope or 0.0) * log_odds(logits, unknown) + how.bias
    if how.distance_slope is not None:
        assert unlikeness is not None, "the decision was fitted with neighbours"
        told = told + how.distance_slope * unlikeness
    p_unknown = torch.sigmoid(told)[..., None]
    masked = logits.clone()
    masked[..., unknown] = -torch.inf
    p = torch.softmax(masked / how.temperature, dim=-1) * (1 - p_unknown)
    p[..., unknown] = p_unknown[..., 0]
    return p


def fit_confidence(
    logits_NC: np.ndarray,
    truth_N: np.ndarray,
    generator_N: np.ndarray,
    unknown: int | None,
    open_set: bool,
    unlikeness_N: np.ndarray | None = None,
) -> Confidence:
    """The confidence that fits held-out rows best.

    Args:
        truth_N: int classes.
        generator_N: generators of the rows, any text; unknown ones count evenly, whatever their numbers of clips.
        open_set: fit slopes and bias too, which only means something where the generators of unknown rows were not
            trained on. Known and unknown rows, and the classes among the known ones, count evenly.
        unlikeness_N: what known neighbours say of the rows, where the models keep any.

    Returns:
        without a bias where there is no unknown class, or rows of only one side. A term that would call the surest, or
        the most usual, clips unknown is left out.
    """
    is_unknown = truth_N == unknown if unknown is not None else np.zeros(len(truth_N), bool)
    if not open_set or unknown is None or not is_unknown.any() or is_unknown.all():
        return Confidence(fit_temperature(logits_NC, truth_N))
    terms = {"slope": log_odds(torch.from_numpy(logits_NC.astype(np.float64)), unknown).numpy()}
    if unlikeness_N is not None:
        terms["distance_slope"] = unlikeness_N
    weight = _even_weights(is_unknown, np.where(is_unknown, generator_N.astype(str), truth_N.astype(str)))
    slopes, bias = _regression(terms, is_unknown, weight)
    if not slopes:
        return Confidence(fit_temperature(logits_NC, truth_N))
    known = [c for c in range(logits_NC.shape[1]) if c != unknown]
    inside = np.searchsorted(known, truth_N[~is_unknown])
    return Confidence(fit_temperature(logits_NC[~is_unknown][:, known], inside), bias=bias, **slopes)


def _even_weights(is_unknown_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: both sides weigh the same, and the groups within each."""
    weight = np.zeros(len(group_N))
    for side in (is_unknown_N, ~is_unknown_N):
        names, which, count = np.unique(group_N[side], return_inverse=True, return_counts=True)
        weight[side] = EVIDENCE / (2 * len(names) * count[which])
    return weight


def _regression(
    terms: dict[str, np.ndarray], is_unknown_N: np.ndarray, weight_N: np.ndarray
) -> tuple[dict[str, float], float]:
    """Slopes of the terms that rise with being unknown, and the bias; no slope where none does."""
    from sklearn.linear_model import LogisticRegression

    while terms:
        model = LogisticRegression(C=1.0).fit(np.stack(list(terms.values()), axis=1), is_unknown_N, weight_N)
        slopes = dict(zip(terms, map(float, model.coef_[0]), strict=True))
        if min(slopes.values()) > 0:
            return slopes, float(model.intercept_[0])
        worst = min(slopes, key=lambda name: slopes[name])
        terms = {name: values for name, values in terms.items() if name != worst}
    return {}, 0.0
