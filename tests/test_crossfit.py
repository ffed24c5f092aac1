"""Cross-fitted soft labels: even folds that the order of tracks does not move, and who answers for whom."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synatt.crossfit import TaughtTracks, answering, soft_folds, track_keys

names = st.lists(st.text(max_size=12), unique=True, max_size=60)


def test_a_key_is_the_start_of_the_tracks_sha_256() -> None:
    digest = hashlib.sha256("日本 é.wav".encode()).digest()
    assert track_keys(["日本 é.wav"]).view(np.uint64)[0] == int.from_bytes(digest[:8], "big")
    assert track_keys([]).shape == (0,)


@given(names, st.integers(1, 5), st.integers(0, 99))
def test_folds_are_even_and_go_by_the_track_alone(tracks: list[str], count: int, seed: int) -> None:
    fold = soft_folds(tracks, count)
    sizes = np.bincount(fold, minlength=count)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(seed).permutation(len(tracks))
    np.testing.assert_array_equal(soft_folds([tracks[i] for i in order], count), fold[order])


@given(names, names)
def test_it_knows_exactly_the_tracks_it_was_taught(taught: list[str], others: list[str]) -> None:
    found = TaughtTracks.of(taught).among(track_keys([*taught, *others]))
    assert found.tolist() == [track in taught for track in [*taught, *others]]


def test_networks_that_were_taught_a_clip_stand_back_where_another_was_not() -> None:
    networks = [TaughtTracks.of(["b", "c"]), TaughtTracks.of(["c"])]
    assert answering(networks, ["a", "b", "c"]).tolist() == [[True, False, True], [True, True, True]]
    assert answering([*networks, None], ["b", "c"]).tolist() == [[False, False], [True, False], [True, True]]
    assert answering([None, None], ["a"]).tolist() == [[True], [True]]
