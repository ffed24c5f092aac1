"""How far a clip lies from all known training clips, in one network's embedding.

A new algorithm can be closer to one known class than to the others, and the network is then sure of it; what it is
not is *among* that class's clips. Two things are told of it: how far its nearest known clips are (Sun et al. 2022), and
the local outlier factor (Breunig et al. 2000), which holds how thinly known clips lie around it against how thinly they
lie around those clips themselves, so that a region of noisy recordings, where all distances are larger, has its own
measure. Neither is better everywhere; over seven networks their product was ahead of both (mean AUROC 0.956 against
0.947 and 0.949 on left-out generators).
"""

from functools import cached_property
from typing import Any

import numpy as np

NEIGHBOURS = 20
NEAREST = 5
# Copies of one clip have no distance; the logarithm needs some.
LEAST = 1e-3


class Neighbours:
    """Embeddings of known clips, of which only the direction counts.

    Args:
        vectors_TE: one a clip; more than `NEIGHBOURS` of them. Kept as float32.
    """

    def __init__(self, vectors_TE: np.ndarray) -> None:
        self.vectors_TE = vectors_TE.astype(np.float32)

    def __len__(self) -> int:
        return len(self.vectors_TE)

    @cached_property
    def _fitted(self) -> Any:
        from sklearn.neighbors import LocalOutlierFactor

        return LocalOutlierFactor(NEIGHBOURS, algorithm="brute", novelty=True).fit(unit(self.vectors_TE))

    @cached_property
    def _usual(self) -> float:
        """Log distance of a known clip to those next to it, the median."""
        return float(np.median(_log_distance(self._fitted.kneighbors(n_neighbors=NEAREST)[0])))

    def unlikeness(self, vectors_NE: np.ndarray) -> np.ndarray:
        """float64 ``[N]``: log distance to the nearest known clips plus log local outlier factor.

        About 0 for a clip that lies as known clips do, larger for one that lies farther out.
        """
        if not len(vectors_NE):
            return np.zeros(0)
        vectors = unit(vectors_NE)
        away = _log_distance(self._fitted.kneighbors(vectors, NEAREST)[0]) - self._usual
        return away + np.log(-self._fitted.score_samples(vectors).astype(np.float64))

    def with_more(self, vectors_NE: np.ndarray) -> "Neighbours":
        """These and the embeddings of clips that have become known."""
        return Neighbours(np.concatenate([self.vectors_TE, vectors_NE]))


def _log_distance(distance_NK: np.ndarray) -> np.ndarray:
    return np.log(distance_NK.mean(axis=1, dtype=np.float64) + LEAST)


def unit(vectors_NE: np.ndarray) -> np.ndarray:
    """float32, each row of length 1; zeros stay zeros."""
    vectors = vectors_NE.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def neighbours_of(vectors_TE: np.ndarray) -> Neighbours | None:
    """None where there are too few clips to be anybody's neighbours."""
    return Neighbours(vectors_TE) if len(vectors_TE) > NEIGHBOURS else None
