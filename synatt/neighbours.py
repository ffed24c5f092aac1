"""How far a clip lies from all known training clips, in one network's pooled features.

A new algorithm can be closer to one known class than to the others, and the network is then sure of it; what it is
not is *among* that class's clips. Features are centred and whitened by how clips of one class vary (within-class
covariance normalisation, Hatch et al. 2006), as is done with the embeddings of speakers: what noise and rooms move most
then counts least. In that space the local outlier factor (Breunig et al. 2000) holds how thinly a class's clips lie
around a clip against how thinly they lie around those clips themselves, so that a class that spreads has its own
measure. Held against the softmax alone, without whitening, the embedding or one factor for all classes, it told
left-out generators best (README, "Measured").
"""

from functools import cached_property
from typing import Any

import numpy as np

NEIGHBOURS = 20


class Neighbours:
    """Pooled features of known clips.

    Args:
        features_TF: one row a clip. Kept as float32.
        label_T: their classes, any integers. One that has a single clip is no measure for others.

    Raises:
        ValueError: no class has more than one.
    """

    def __init__(self, features_TF: np.ndarray, label_T: np.ndarray) -> None:
        self.features_TF, self.label_T = features_TF.astype(np.float32), label_T.astype(np.int64)
        labels, count = np.unique(self.label_T, return_counts=True)
        self.classes: list[int] = labels[count > 1].tolist()
        if not self.classes:
            raise ValueError("no class has more than one clip")

    def __len__(self) -> int:
        return len(self.features_TF)

    @cached_property
    def _space(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean of the classes' means ``[F]``, Cholesky factor ``[F, F]`` of the covariance within classes)."""
        from scipy.linalg import cholesky
        from sklearn.covariance import ledoit_wolf

        means = {c: self.features_TF[self.label_T == c].mean(axis=0, dtype=np.float64) for c in self.classes}
        apart = np.concatenate([self.features_TF[self.label_T == c] - mean for c, mean in means.items()])
        # Copies of one clip do not vary at all.
        covariance = ledoit_wolf(apart, assume_centered=True)[0] if apart.any() else np.eye(apart.shape[1])
        return np.mean([*means.values()], axis=0), cholesky(covariance, lower=True)

    def whitened(self, features_NF: np.ndarray) -> np.ndarray:
        """float64 ``[N, F]``: centred, whitened within classes, each row of length 1."""
        from scipy.linalg import solve_triangular

        mean, root = self._space
        return unit(solve_triangular(root, (features_NF - mean).T, lower=True).T)

    @cached_property
    def _factors(self) -> list[Any]:
        from sklearn.neighbors import LocalOutlierFactor

        found, known = [], self.whitened(self.features_TF)
        for c in self.classes:
            mine = known[self.label_T == c]
            count = min(NEIGHBOURS, len(mine) - 1)
            found.append(LocalOutlierFactor(count, algorithm="brute", novelty=True).fit(mine))
        return found

    def unlikeness(self, features_NF: np.ndarray) -> np.ndarray:
        """float64 ``[N]``: log local outlier factor among the clips of the class that it fits best.

        About 0 for a clip that lies as known clips do, larger for one that lies farther out.
        """
        if not len(features_NF):
            return np.zeros(0)
        white = self.whitened(features_NF)
        return np.min([np.log(-factor.score_samples(white)) for factor in self._factors], axis=0)

    def with_more(self, features_NF: np.ndarray, label_N: np.ndarray) -> "Neighbours":
        """These and the features of clips that have become known."""
        return Neighbours(np.concatenate([self.features_TF, features_NF]), np.concatenate([self.label_T, label_N]))


def unit(rows_NF: np.ndarray) -> np.ndarray:
    """Each row at length 1; zeros stay zeros."""
    return rows_NF / np.maximum(np.linalg.norm(rows_NF, axis=1, keepdims=True), 1e-12)


def neighbours_of(features_TF: np.ndarray, label_T: np.ndarray) -> Neighbours | None:
    """None where there are too few clips, or too few of every class, to be anybody's neighbours."""
    enough = len(features_TF) > NEIGHBOURS and np.unique(label_T, return_counts=True)[1].max() > 1
    return Neighbours(features_TF, label_T) if enough else None
