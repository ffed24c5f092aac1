"""How far a clip lies from all known ones, measured by how they lie themselves."""

import numpy as np
import pytest

from synatt.neighbours import NEIGHBOURS, Neighbours, neighbours_of, unit


def cluster(centre: int, spread: float, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.eye(8)[centre] * 10 + rng.normal(0, spread, (count, 8))


@pytest.fixture
def known() -> Neighbours:
    """A dense class and one that spreads five times as far."""
    return Neighbours(np.concatenate([cluster(0, 0.2, 200, 1), cluster(1, 1.0, 200, 2)]).astype(np.float32))


def test_known_clips_lie_at_zero_in_dense_and_in_thin_regions(known: Neighbours) -> None:
    near = [known.unlikeness(cluster(centre, spread, 100, 3)) for centre, spread in ((0, 0.2), (1, 1.0))]
    assert abs(np.median(np.concatenate(near))) < 0.2


def test_the_same_step_away_says_more_where_known_clips_lie_dense(known: Neighbours) -> None:
    step = np.eye(8)[2] * 2.0
    dense, thin = (known.unlikeness(cluster(c, 0.1, 50, 4) + step).mean() for c in (0, 1))
    assert dense > thin + 0.5


def test_only_the_direction_of_an_embedding_counts(known: Neighbours) -> None:
    some = cluster(0, 0.5, 20, 5)
    np.testing.assert_allclose(known.unlikeness(some), known.unlikeness(3 * some), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(unit(some), axis=1), 1, atol=1e-6)
    assert np.isfinite(known.unlikeness(np.zeros((1, 8)))).all() and len(known.unlikeness(np.zeros((0, 8)))) == 0


def test_a_clip_alone_is_told_as_among_others(known: Neighbours) -> None:
    some = cluster(2, 0.5, 7, 6)
    apart = np.concatenate([known.unlikeness(one[None]) for one in some])
    np.testing.assert_allclose(apart, known.unlikeness(some), atol=1e-5)


def test_what_has_become_known_lies_no_longer_far_away(known: Neighbours) -> None:
    new, more = cluster(3, 0.3, 60, 7), cluster(3, 0.3, 60, 8)
    wider = known.with_more(new)
    assert len(wider) == len(known) + 60
    assert known.unlikeness(more).min() > np.median(wider.unlikeness(more)) + 3


def test_too_few_clips_are_nobody_s_neighbours() -> None:
    assert neighbours_of(np.eye(NEIGHBOURS, dtype=np.float32)) is None
    assert neighbours_of(np.eye(NEIGHBOURS + 1, dtype=np.float32)) is not None


def test_copies_of_one_clip_give_numbers(known: Neighbours) -> None:
    same = Neighbours(np.tile(np.eye(8, dtype=np.float32)[:1], (50, 1)))
    assert np.isfinite(same.unlikeness(np.eye(8)[:3])).all()
