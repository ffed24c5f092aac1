"""How unlike all known algorithms a clip is: scores from what a network says of it, higher = less like a known one.

From logits: `max_softmax` over the known classes (Hendrycks and Gimpel 2017); `unknown`, the probability of the class
of unknown speech itself; `energy` over the known logits (Liu et al. 2020). From embeddings: `mahalanobis`, the distance
to the nearest class mean under one shared covariance (Lee et al. 2018); `nsd`, the mean cosine to all known clips, each
weighed by its energy, times the clip's own (Xie et al. 2024, arXiv 2406.03240; energies over all logits); `distance` to
the nearest known clips (Sun et al. 2022) and `outlier_factor` (Breunig et al. 2000), and `unlikeness`, both together,
which is what models keep. From pooled features whitened within classes (Hatch et al. 2006): `whitened_distance` and
`whitened_outlier_factor`, the same two, and `class_factor`, the factor among the clips of the class that fits best.
Fused with even weights: `decision`, the log-odds of `max_softmax` and `unlikeness`, which are the decision's two terms,
and `class_decision`, the log-odds and `class_factor`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit, logsumexp
from scipy.stats import zscore

from synatt.neighbours import NEAREST, NEIGHBOURS, Neighbours, unit
from synatt.unseen import logit_scores

SCORES = (
    *("max_softmax", "unknown", "energy", "mahalanobis", "nsd", "distance", "outlier_factor", "unlikeness"),
    *("whitened_distance", "whitened_outlier_factor", "class_factor", "decision", "class_decision"),
)


@dataclass(frozen=True)
class Told:
    """What a network says of N clips: logits ``[N, C]``, embeddings ``[N, E]``, pooled features ``[N, F]``."""

    logits: np.ndarray
    vectors: np.ndarray
    features: np.ndarray


def scores(clips: Told, bank: Told, bank_label_T: np.ndarray, unknown: int) -> dict[str, np.ndarray]:
    """Every score of N clips, float64 ``[N]``.

    Args:
        bank: known training clips, with their labels.
        unknown: index of the class of unknown speech.
    """
    white, white_bank = (whitened(x.features, bank.features, bank_label_T) for x in (clips, bank))
    by_class = [outlier_factor(white_bank[bank_label_T == c]).score_samples(white) for c in np.unique(bank_label_T)]
    found = {
        **logit_scores(clips.logits, unknown),
        "mahalanobis": mahalanobis(clips.vectors, bank.vectors, bank_label_T),
        "nsd": nsd(clips.logits, clips.vectors, bank.vectors, bank.logits),
        **neighbourhood(unit(clips.vectors), unit(bank.vectors)),
        "unlikeness": Neighbours(bank.vectors).unlikeness(clips.vectors),
        **{f"whitened_{name}": score for name, score in neighbourhood(white, white_bank).items()},
        "class_factor": np.min(-np.array(by_class), axis=0),
    }
    return found | {
        "decision": fused(found["max_softmax"], found["unlikeness"]),
        "class_decision": fused(found["max_softmax"], np.log(found["class_factor"])),
    }


def fused(max_softmax_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: the log-odds of `max_softmax` and another score, with even weights."""
    return zscore(logit(np.clip(max_softmax_N, 1e-6, 1 - 1e-6))) + zscore(other_N)


def whitened(features_NF: np.ndarray, bank_TF: np.ndarray, bank_label_T: np.ndarray) -> np.ndarray:
    """float32 ``[N, F]``: centred and whitened by how known clips of one class vary, each row of length 1."""
    from scipy.linalg import cholesky, solve_triangular
    from sklearn.covariance import ledoit_wolf

    classes, place_T = np.unique(bank_label_T, return_inverse=True)
    bank = bank_TF.astype(np.float64)
    means = np.stack([bank[place_T == c].mean(axis=0) for c in range(len(classes))])
    root = cholesky(ledoit_wolf(bank - means[place_T], assume_centered=True)[0], lower=True)
    return unit(solve_triangular(root, (features_NF - means.mean(axis=0)).T, lower=True).T)


def neighbourhood(vectors_NE: np.ndarray, bank_TE: np.ndarray) -> dict[str, np.ndarray]:
    """`distance` and `outlier_factor` among all known clips, whatever their class."""
    factor = outlier_factor(bank_TE)
    return {
        "distance": factor.kneighbors(vectors_NE, NEAREST)[0].mean(axis=1),
        "outlier_factor": -factor.score_samples(vectors_NE),
    }


def outlier_factor(bank_TE: np.ndarray) -> Any:
    """scikit-learn's local outlier factor, fitted on known clips."""
    from sklearn.neighbors import LocalOutlierFactor

    return LocalOutlierFactor(NEIGHBOURS, algorithm="brute", novelty=True).fit(bank_TE)


def mahalanobis(vectors_NE: np.ndarray, bank_TE: np.ndarray, label_T: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: squared distance to the nearest class mean, under the covariance within classes (shrunk)."""
    return distances(vectors_NE, bank_TE, label_T)[0].min(axis=1)


def distances(vectors_NE: np.ndarray, bank_TE: np.ndarray, label_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(squared Mahalanobis distances to every class mean, float64 ``[N, C]``; the classes ``[C]``)."""
    from sklearn.covariance import LedoitWolf

    classes = np.unique(label_T)
    means = [bank_TE[label_T == c].mean(axis=0) for c in classes]
    centred = np.concatenate([bank_TE[label_T == c] - mean for c, mean in zip(classes, means, strict=True)])
    model = LedoitWolf(assume_centered=True).fit(centred)
    return np.stack([model.mahalanobis(vectors_NE - mean) for mean in means], axis=1), classes


def nsd(logits_NC: np.ndarray, vectors_NE: np.ndarray, bank_TE: np.ndarray, bank_logits_TC: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: minus the energy of a clip times its similarity to the known clips and their energies."""
    energy, bank_energy = (logsumexp(logits.astype(np.float64), axis=1) for logits in (logits_NC, bank_logits_TC))
    return -energy * (unit(vectors_NE).astype(np.float64) @ (unit(bank_TE) * bank_energy[:, None]).mean(axis=0))
