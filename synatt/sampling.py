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


def in_turn(strata_N: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 ``[count]`` row numbers ``0..N-1``: the strata take turns, and the rows within each, in a drawn order.

    Rows come again once all of their stratum were taken; of no rows there are none.
    """
    strata = np.unique(strata_N)
    if not len(strata):
        return np.zeros(0, np.int64)
    each = -(-count // len(strata))
    drawn = []
    for stratum in strata:
        rows = np.flatnonzero(strata_N == stratum)
        drawn.append(np.concatenate([rng.permutation(rows) for _ in range(-(-each // len(rows)))] or [rows])[:each])
    return np.stack(drawn, axis=1).ravel()[:count]
