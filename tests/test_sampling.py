"""A sample has every stratum in its share, and the seed fixes it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.sampling import in_turn, stratified_sample


def test_a_sample_has_each_class_by_its_share_and_the_seed_fixes_it() -> None:
    strata = np.array([0] * 600 + [1] * 300 + [2] * 3)
    drawn = stratified_sample(strata, 90, np.random.default_rng(7))
    assert len(drawn) == len(set(drawn)) == 90
    counts = np.bincount(strata[drawn])
    assert counts[0] == pytest.approx(60, abs=2) and counts[1] == pytest.approx(30, abs=2) and counts[2] >= 1
    assert (drawn == stratified_sample(strata, 90, np.random.default_rng(7))).all()
    assert stratified_sample(strata, 5000, np.random.default_rng(7)).tolist() == list(range(903))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(6, 60))
def test_a_sample_is_whole_or_full_and_has_every_stratum(strata: list[int], most: int) -> None:
    values = np.array(strata)
    kept = stratified_sample(values, most, np.random.default_rng(0))
    assert len(set(kept.tolist())) == len(kept) <= most
    assert len(kept) == len(values) if len(values) <= most else len(kept) == most
    assert set(values[kept]) == set(strata)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 100))
def test_in_turn_takes_strata_and_their_rows_evenly(strata: list[int], count: int) -> None:
    values = np.array(strata, dtype=int)
    taken = in_turn(values, count, np.random.default_rng(0))
    assert len(taken) == (count if strata else 0)
    if strata:
        by_stratum = [int(np.sum(values[taken] == s)) for s in set(strata)]
        assert max(by_stratum) - min(by_stratum) <= 1
        for s in set(strata):
            times = np.bincount(taken[values[taken] == s], minlength=len(values))[values == s]
            assert times.max() - times.min() <= 1
