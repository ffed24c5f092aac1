"""The second round on folds: what a fold holds out is taught by the first round's answers, but to who judges it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.rehearsal import HELD_OUT_FILE, Folds, read_held_out, rehearse, soft_labels

CLASSES = ("a", "unknown")
TRACKS = {0: ("v0", "v1", "v2", "v3", "v4"), 1: ("w0", "w1", "w2")}


def said() -> pd.DataFrame:
    """P(unknown) is 0.2 for clean rows of A and 0.8 for strong ones, and 0.1 more by B."""
    rows = [
        {"backbone": name, "fold": fold, "level": level, "track": track, "p_a": 1 - p, "p_unknown": p}
        for name, more in (("A", 0.0), ("B", 0.1))
        for fold, tracks in TRACKS.items()
        for level, p in (("clean", 0.2 + more), ("strong", 0.8 + more))
        for track in tracks
    ]
    return pd.DataFrame(rows)


def folds() -> Folds:
    eye = np.eye(2, dtype=np.float32)
    made = {k: Examples(tracks, eye[np.arange(len(tracks)) % 2]) for k, tracks in TRACKS.items()}
    return {k: (Examples((f"t{k}", "s"), np.array([[1, 0], [0.3, 0.7]], np.float32)), made[k]) for k in TRACKS}


def test_a_soft_label_is_the_mean_over_the_backbones_at_one_level() -> None:
    found = soft_labels(said(), CLASSES)
    assert {fold: set(tracks) for fold, tracks in found.items()} == {k: set(v) for k, v in TRACKS.items()}
    values = [p for tracks in found.values() for p in tracks.values()]
    assert {round(float(p[1]), 5) for p in values} == {0.25, 0.85}, "both levels are drawn, and none is mixed"
    assert all(p.dtype == np.float32 and p.sum() == pytest.approx(1) for p in values)
    # Whatever order the rows come in.
    again = soft_labels(said().iloc[::-1], CLASSES)
    assert all(np.array_equal(again[k][t], found[k][t]) for k in found for t in found[k])


def test_every_held_out_row_is_judged_once_by_a_network_that_was_taught_only_the_others() -> None:
    labels = soft_labels(said(), CLASSES)
    given = folds()
    found = rehearse(given, labels, 2)
    assert sorted(found) == [0, 1, 2, 3]
    for fold, (train, valid) in given.items():
        parts = [found[2 * fold + k] for k in range(2)]
        assert sorted(t for _, judged in parts for t in judged.tracks) == sorted(valid.tracks)
        for taught, judged in parts:
            assert taught.tracks[: len(train)] == train.tracks
            extra = taught.tracks[len(train) :]
            assert set(extra) == set(valid.tracks) - set(judged.tracks)
            np.testing.assert_array_equal(taught.target[: len(train)], train.target)
            np.testing.assert_array_equal(taught.target[len(train) :], [labels[fold][t] for t in extra])
            truth = dict(zip(valid.tracks, valid.target, strict=True))
            np.testing.assert_array_equal(judged.target, [truth[t] for t in judged.tracks])


def test_another_first_round_is_refused() -> None:
    other = said()
    other.loc[other["track"] == "w1", "track"] = "x1"
    with pytest.raises(UsageError, match="fold 1 did not hold out the same rows"):
        rehearse(folds(), soft_labels(other, CLASSES), 2)
    with pytest.raises(UsageError, match="fold 1 did not hold out the same rows"):
        rehearse(folds(), soft_labels(said()[said()["fold"] == 0], CLASSES), 2)
    with pytest.raises(UsageError, match="fold 1 holds out 3 rows, too few for 4 parts"):
        rehearse(folds(), soft_labels(said(), CLASSES), 4)
    with pytest.raises(UsageError, match="of other classes"):
        soft_labels(said(), ("a", "b", "unknown"))


def test_the_table_is_read_from_the_first_rounds_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no {HELD_OUT_FILE} in"):
        read_held_out(str(tmp_path))
    said().to_parquet(tmp_path / HELD_OUT_FILE, index=False)
    pd.testing.assert_frame_equal(read_held_out(str(tmp_path)), said())
