"""How far a clip lies from all known ones, measured by how those of a class lie themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import LocalOutlierFactor

from synatt.neighbours import NEIGHBOURS, Neighbours, neighbours_of, unit


def cluster(centre: int, spread: float, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.eye(8)[centre] * 10 + rng.normal(0, spread, (count, 8))


@pytest.fixture
def known() -> Neighbours:
    """A dense class and one that spreads five times as far."""
    rows = np.concatenate([cluster(0, 0.2, 200, 1), cluster(1, 1.0, 200, 2)])
    return Neighbours(rows, np.repeat([3, 7], 200))


def test_known_clips_lie_at_zero_in_dense_and_in_thin_classes(known: Neighbours) -> None:
    for centre, spread in ((0, 0.2), (1, 1.0)):
        assert abs(np.median(known.unlikeness(cluster(centre, spread, 100, 3)))) < 0.1


def test_the_same_step_away_says_more_where_known_clips_lie_dense(known: Neighbours) -> None:
    step = np.eye(8)[2] * 2.0
    dense, thin = (known.unlikeness(cluster(c, 0.1, 50, 4) + step).mean() for c in (0, 1))
    assert dense > thin + 0.5


def test_a_clip_between_two_classes_is_among_neither(known: Neighbours) -> None:
    """Held against all known clips at once it may be: each class's factor is its own."""
    between = (cluster(0, 0.2, 50, 5) + cluster(1, 0.2, 50, 6)) / 2
    assert np.median(known.unlikeness(between)) > 1


def test_what_moves_the_clips_of_every_class_counts_least() -> None:
    """A direction in which all classes spread, as by noise: the same step in it is no sign of something new."""
    rng = np.random.default_rng(0)
    noisy = np.array([1, 1, 1, 1, 1, 1, 1, 20.0])
    rows = np.concatenate([np.eye(8)[c] * 40 + rng.normal(0, 1, (200, 8)) * noisy for c in (0, 1)])
    known = Neighbours(rows, np.repeat([0, 1], 200))
    clip = np.eye(8)[:1] * 40
    loud, new = (known.unlikeness(clip + step * np.eye(8)[axis]).item() for axis, step in ((7, 20.0), (3, 20.0)))
    assert loud < 0.3 and new > loud + 1


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-100, 100))
def test_neither_scale_nor_place_of_the_features_counts(seed: int, scale: float, moved: float) -> None:
    rng = np.random.default_rng(seed)
    rows, label, some = rng.normal(size=(60, 5)), np.arange(60) % 2, rng.normal(size=(7, 5))
    there = Neighbours(scale * rows + moved, label).unlikeness(scale * some + moved)
    np.testing.assert_allclose(there, Neighbours(rows, label).unlikeness(some), atol=1e-2)


def test_it_is_the_outlier_factor_under_the_covariance_within_classes(known: Neighbours) -> None:
    """By the textbook's steps: subtract, multiply by the inverse root, normalise, ask scikit-learn."""
    rows, label = known.features_TF.astype(np.float64), known.label_T
    means = np.stack([rows[label == c].mean(axis=0) for c in (3, 7)])
    apart = rows - means[(label == 7).astype(int)]
    values, axes = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(apart).covariance_)

    def white(x: np.ndarray) -> np.ndarray:
        moved = (x - means.mean(axis=0)) @ (axes / np.sqrt(values)) @ axes.T
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    some = cluster(2, 2.0, 20, 8)
    factors = [LocalOutlierFactor(NEIGHBOURS, novelty=True).fit(white(rows[label == c])) for c in (3, 7)]
    wanted = np.log(np.min([-f.score_samples(white(some)) for f in factors], axis=0))
    np.testing.assert_allclose(known.unlikeness(some), wanted, atol=1e-4)


def test_a_clip_alone_is_told_as_among_others(known: Neighbours) -> None:
    some = cluster(2, 0.5, 7, 6)
    apart = np.concatenate([known.unlikeness(one[None]) for one in some])
    np.testing.assert_allclose(apart, known.unlikeness(some), atol=1e-5)
    assert len(known.unlikeness(np.zeros((0, 8)))) == 0 and np.isfinite(known.unlikeness(np.zeros((1, 8)))).all()


@pytest.mark.parametrize(("clips", "nearer"), [(60, 0.5), (5, 0.5), (2, 0.2)])
def test_what_has_become_known_lies_no_longer_far_away(known: Neighbours, clips: int, nearer: float) -> None:
    new, more = cluster(3, 0.3, clips, 7), cluster(3, 0.3, 60, 8)
    wider = known.with_more(new, np.full(clips, 9))
    assert len(wider) == len(known) + clips and wider.classes == [3, 7, 9]
    assert np.median(known.unlikeness(more)) > np.median(wider.unlikeness(more)) + nearer


def test_a_class_of_one_clip_is_no_measure(known: Neighbours) -> None:
    wider = known.with_more(cluster(3, 0.3, 1, 7), np.array([9]))
    assert wider.classes == [3, 7] and len(wider) == len(known) + 1
    with pytest.raises(ValueError, match="more than one clip"):
        Neighbours(np.eye(30), np.arange(30))


def test_too_few_clips_are_nobody_s_neighbours() -> None:
    assert neighbours_of(np.eye(NEIGHBOURS), np.zeros(NEIGHBOURS)) is None
    assert neighbours_of(np.eye(NEIGHBOURS + 1), np.arange(NEIGHBOURS + 1)) is None
    assert neighbours_of(np.zeros((0, 4)), np.zeros(0)) is None
    assert neighbours_of(np.eye(NEIGHBOURS + 1), np.zeros(NEIGHBOURS + 1)) is not None


def test_fewer_clips_than_features_and_copies_of_one_clip_give_numbers() -> None:
    rng = np.random.default_rng(0)
    few = Neighbours(rng.normal(size=(30, 100)), np.arange(30) % 3)
    assert np.isfinite(few.unlikeness(rng.normal(size=(5, 100)))).all()
    same = Neighbours(np.tile(np.eye(8)[:1], (50, 1)), np.zeros(50))
    assert np.isfinite(same.unlikeness(np.eye(8)[:3])).all()


def test_rows_of_length_one_and_zeros() -> None:
    assert np.allclose(np.linalg.norm(unit(cluster(0, 0.5, 20, 5)), axis=1), 1) and not unit(np.zeros((1, 3))).any()
