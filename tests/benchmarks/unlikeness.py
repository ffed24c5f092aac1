"""How unlike all known algorithms a clip is: scores from logits and embeddings, higher = less like a known one.

`max_softmax` over the known classes (Hendrycks and Gimpel 2017); `unknown`, the probability of the class of unknown
speech itself; `energy` over the known logits (Liu et al. 2020); `mahalanobis`, the distance to the nearest class mean
under one shared covariance (Lee et al. 2018); `nsd`, the mean cosine to all known clips, each weighed by its energy,
times the clip's own (Xie et al. 2024, arXiv 2406.03240; energies over all logits); `distance` to the nearest known
clips (Sun et al. 2022) and `outlier_factor` (Breunig et al. 2000), and `unlikeness`, both together, which is what
models keep.
"""

import numpy as np
from scipy.special import logsumexp

from synatt.neighbours import NEAREST, NEIGHBOURS, Neighbours, unit
from synatt.unseen import logit_scores

SCORES = ("max_softmax", "unknown", "energy", "mahalanobis", "nsd", "distance", "outlier_factor", "unlikeness")


def scores(
    logits_NC: np.ndarray,
    vectors_NE: np.ndarray,
    bank_TE: np.ndarray,
    bank_logits_TC: np.ndarray,
    bank_label_T: np.ndarray,
    unknown: int,
) -> dict[str, np.ndarray]:
    """Every score of N clips, float64 ``[N]``.

    Args:
        bank_TE: embeddings of known training clips, with their logits and labels.
        unknown: index of the class of unknown speech.
    """
    from sklearn.neighbors import LocalOutlierFactor

    factor = LocalOutlierFactor(NEIGHBOURS, algorithm="brute", novelty=True).fit(unit(bank_TE))
    return {
        **logit_scores(logits_NC, unknown),
        "mahalanobis": mahalanobis(vectors_NE, bank_TE, bank_label_T),
        "nsd": nsd(logits_NC, vectors_NE, bank_TE, bank_logits_TC),
        "distance": factor.kneighbors(unit(vectors_NE), NEAREST)[0].mean(axis=1),
        "outlier_factor": -factor.score_samples(unit(vectors_NE)),
        "unlikeness": Neighbours(bank_TE).unlikeness(vectors_NE),
    }


def mahalanobis(vectors_NE: np.ndarray, bank_TE: np.ndarray, label_T: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: squared distance to the nearest class mean, under the covariance within classes (shrunk)."""
    from sklearn.covariance import LedoitWolf

    means = {c: bank_TE[label_T == c].mean(axis=0) for c in np.unique(label_T)}
    centred = np.concatenate([bank_TE[label_T == c] - mean for c, mean in means.items()])
    model = LedoitWolf(assume_centered=True).fit(centred)
    return np.min([model.mahalanobis(vectors_NE - mean) for mean in means.values()], axis=0)


def nsd(logits_NC: np.ndarray, vectors_NE: np.ndarray, bank_TE: np.ndarray, bank_logits_TC: np.ndarray) -> np.ndarray:
    """float64 ``[N]``: minus the energy of a clip times its similarity to the known clips and their energies."""
    energy, bank_energy = (logsumexp(logits.astype(np.float64), axis=1) for logits in (logits_NC, bank_logits_TC))
    return -energy * (unit(vectors_NE).astype(np.float64) @ (unit(bank_TE) * bank_energy[:, None]).mean(axis=0))
