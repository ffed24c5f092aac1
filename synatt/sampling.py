"""A sample of rows in which every stratum has its share."""

import numpy as np


def stratified_sample(strata_N: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """int64, at most `most` of the row numbers ``0..N-1``, each stratum with its share of them (one at least)."""
    place = np.empty(len(strata_N))
    for stratum in np.unique(strata_N):
        rows = np.flatnonzero(strata_N == stratum)
        place[rng.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
        place[rows[place[rows].argmin()]] = 0.0
    return np.sort(np.argsort(place, kind="stable")[:most])
