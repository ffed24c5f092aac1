"""How unlike all known algorithms a clip is: scores from logits and embeddings, higher = less like a known one.

`max_softmax` over the known classes (Hendrycks and Gimpel 2017); `unknown`, the probability of the class of unknown
speech itself; `energy` over the known logits (Liu et al. 2020); `margin`, the logit of the unknown class against the
best known one; `knn`, the cosine distance to the nearest known training clips (Sun et al. 2022); `mahalanobis`, the
distance to the nearest class mean under one shared covariance (Lee et al. 2018).
"""

import numpy as np
from scipy.special import log_softmax, logsumexp

SCORES = ("max_softmax", "unknown", "energy", "margin", "knn", "mahalanobis")
NEIGHBOURS = 5


def scores(
    logits_NKC: np.ndarray,
    vectors_NE: np.ndarray,
    bank_TE: np.ndarray,
    bank_label_T: np.ndarray,
    unknown: int,
) -> dict[str, np.ndarray]:
    """Every score of N clips, float64 ``[N]``; logits have K crops, whose scores are averaged.

    Args:
        bank_TE: embeddings of training clips, with their labels.
        unknown: index of the class of unknown speech.
    """
    known = [c for c in range(logits_NKC.shape[-1]) if c != unknown]
    log_p = log_softmax(logits_NKC.astype(np.float64), axis=-1)
    best = log_p[..., known].max(axis=-1)
    inside = bank_label_T != unknown
    return {
        "max_softmax": 1 - np.exp(best).mean(axis=1),
        "unknown": np.exp(log_p[..., unknown]).mean(axis=1),
        "energy": -logsumexp(logits_NKC[..., known].astype(np.float64), axis=-1).mean(axis=1),
        "margin": (log_p[..., unknown] - best).mean(axis=1),
        "knn": knn_distance(vectors_NE, bank_TE[inside]),
        "mahalanobis": mahalanobis(vectors_NE, bank_TE[inside], bank_label_T[inside]),
    }


def knn_distance(vectors_NE: np.ndarray, bank_TE: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """float64 ``[N]``: the mean cosine distance to the k nearest of the bank."""
    from sklearn.neighbors import NearestNeighbors

    distance_NK, _ = NearestNeighbors(n_neighbors=k, metric="cosine").fit(bank_TE).kneighbors(vectors_NE)
    return distance_NK.mean(axis=1)


def mahalanobis(vectors_NE: np.ndarray, bank_TE: np.ndarray, label_T: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: squared distance to the nearest class mean, under the covariance within classes (shrunk)."""
    from sklearn.covariance import LedoitWolf

    means = {c: bank_TE[label_T == c].mean(axis=0) for c in np.unique(label_T)}
    centred = np.concatenate([bank_TE[label_T == c] - mean for c, mean in means.items()])
    model = LedoitWolf(assume_centered=True).fit(centred)
    return np.min([model.mahalanobis(vectors_NE - mean) for mean in means.values()], axis=0)
