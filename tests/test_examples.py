"""Which clips are chosen: the surest of each class, the surest mistakes, the least certain, of pairs, asked for."""

import numpy as np
import pandas as pd
import pytest

from synatt.examples import ASKED, MISTAKE, PAIR, RIGHT, UNCERTAIN, TrackError, choose
from synatt.scored import Rows

TRUTH = [0, 0, 0, 1, 1, 1, -1, 0]
ANSWER = [0, 0, 1, 1, 0, 0, 1, -1]
CONFIDENCE = [0.9, 0.6, 0.8, 0.7, 0.95, 0.5, 0.4, np.nan]


def rows() -> Rows:
    texts = {n: np.array([f"{n}{i}" for i in range(8)], dtype=object) for n in ("track", "path", "error", "run")}
    confidence = np.array(CONFIDENCE)
    return Rows(
        **texts,
        truth=np.array(TRUTH),
        answer=np.array(ANSWER),
        confidence=confidence,
        unknown_score=confidence,
        p=np.zeros((8, 2), np.float32),
        columns=pd.DataFrame(index=range(8)),
    )


def kinds(each: int, **options: object) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for example in choose(rows(), 2, each, **options):  # type: ignore[arg-type]
        found.setdefault(example.kind, []).append(example.row)
    return found


def test_each_kind_has_its_surest_or_least_sure_clips() -> None:
    assert kinds(1) == {MISTAKE: [4], UNCERTAIN: [6], RIGHT: [0, 3]}
    assert kinds(2) == {MISTAKE: [4, 2], UNCERTAIN: [6, 5], RIGHT: [0, 1, 3]}


def test_a_confused_pair_has_its_surest_mistake() -> None:
    pairs = pd.DataFrame({"truth": [1, 0], "answer": [0, 1]})
    assert kinds(1, confused=pairs)[PAIR] == [4, 2]


def test_tracks_that_are_asked_for_come_first_in_their_order_even_without_an_answer() -> None:
    asked = ["track7", "track2", "track7"]
    assert kinds(0, tracks=asked) == {ASKED: [7, 2]}
    assert choose(rows(), 2, 1, asked)[0].kind == ASKED


def test_a_track_that_is_not_there_is_named() -> None:
    with pytest.raises(TrackError, match="no track 'nobody' to explain; the predictions have 'track0'"):
        choose(rows(), 2, 0, ["track1", "nobody"])


def test_without_labels_only_the_least_certain_are_chosen() -> None:
    bare = rows()
    bare.truth[:] = -1
    assert {e.kind for e in choose(bare, 2, 3)} == {UNCERTAIN}
