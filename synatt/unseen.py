"""How well speech of a generator that a fold was not trained on is told from known speech, by each score there is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp

from synatt.judging import Judged, fitted_elsewhere
from synatt.metrics import detection_scores, score_counts


def unseen_scores(folds: Mapping[int, Judged], unknown: int) -> list[dict[str, Any]]:
    """A row for each fold, level of perturbation, generator that the fold left out, and score.

    Every unknown row is held against all known rows of its fold at its level. Scores: `max_softmax` (one minus the
    largest known probability; Hendrycks and Gimpel 2017), `unknown` (the probability of that class), `energy` over the
    known logits (Liu et al. 2020), `unlikeness` (where models keep neighbours), and `decision`, the probability of
    'unknown' by what the other folds' rows have fitted; `recall` is the share that this decision calls unknown.

    Returns:
        rows of `fold`, `level`, `generator`, `score`, `auroc`, `eer`, `fpr_at_95_tpr`, `recall`, `clips`,
        `known_clips`, `known_recall` (known rows that are not called unknown).
    """
    found = []
    for fold, rows in folds.items():
        assert rows.level is not None
        p = rows.probabilities(fitted_elsewhere(folds, fold, unknown), unknown)
        called = p.argmax(axis=1) == unknown
        scores, is_unknown = logit_scores(rows.logits, unknown) | {"decision": p[:, unknown]}, rows.truth == unknown
        if rows.unlikeness is not None:
            scores["unlikeness"] = rows.unlikeness
        for level in dict.fromkeys(rows.level):
            known = (rows.level == level) & ~is_unknown
            for generator in sorted(set(rows.generator[(rows.level == level) & is_unknown])):
                mine = (rows.level == level) & is_unknown & (rows.generator == generator)
                for name, score in scores.items():
                    told = detection_scores(score_counts(score[known | mine], mine[known | mine]))
                    found.append(
                        {"fold": fold, "level": str(level), "generator": str(generator), "score": name}
                        | {key: float(value) for key, value in told.items()}
                        | {"recall": float(called[mine].mean()), "clips": int(mine.sum())}
                        | {"known_clips": int(known.sum()), "known_recall": float(np.mean(~called[known]))}
                    )
    return found


def logit_scores(logits_NC: np.ndarray, unknown: int) -> dict[str, np.ndarray]:
    """The first three of these scores, float64 ``[N]`` each; higher is less like any known algorithm."""
    logits = logits_NC.astype(np.float64)
    known = [c for c in range(logits.shape[1]) if c != unknown]
    log_p = log_softmax(logits, axis=1)
    return {
        "max_softmax": 1 - np.exp(log_p[:, known].max(axis=1)),
        "unknown": np.exp(log_p[:, unknown]),
        "energy": -logsumexp(logits[:, known], axis=1),
    }
