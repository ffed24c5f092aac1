"""Which clips of an evaluation are worth looking at: sure and right, sure and wrong, unsure, of a pair, asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synatt.errors import UsageError
from synatt.scored import Rows
from synatt.truth import some

ASKED, PAIR, MISTAKE, UNCERTAIN, RIGHT = "asked", "pair", "mistake", "uncertain", "right"
PAIRS = 5


class TrackError(UsageError):
    """A track that was asked for is not among the predictions."""


@dataclass(frozen=True)
class Example:
    """A row to look at.

    Attributes:
        row: its place in the `Rows`.
        kind: why it was chosen, one of the names above; a row may be chosen for several reasons.
    """

    row: int
    kind: str


def choose(
    rows: Rows, n_classes: int, each: int, tracks: Sequence[str] = (), confused: pd.DataFrame | None = None
) -> list[Example]:
    """Tracks that were asked for, one mistake of each confused pair, then `each` clips of every other kind.

    Args:
        rows: all rows of the evaluation.
        n_classes: C.
        each: clips a kind; of right answers, `each` of every class. 0: only `tracks`.
        tracks: keys that were asked for.
        confused: the pairs to illustrate, columns `truth` and `answer` as class indices, the first `PAIRS` of them.

    Raises:
        TrackError: a track is not among the predictions.
    """
    chosen = [Example(row, ASKED) for row in _places(rows, tracks)]
    if not each:
        return chosen
    scored = rows.labelled & rows.answered
    wrong = scored & (rows.truth != rows.answer)
    if confused is not None:
        for truth, answer in confused[["truth", "answer"]].head(PAIRS).itertuples(index=False):
            chosen += _first(rows, wrong & (rows.truth == truth) & (rows.answer == answer), 1, PAIR)
    chosen += _first(rows, wrong, each, MISTAKE)
    chosen += _first(rows, rows.answered, each, UNCERTAIN, ascending=True)
    for index in range(n_classes):
        chosen += _first(rows, scored & ~wrong & (rows.truth == index), each, RIGHT)
    return chosen


def _places(rows: Rows, tracks: Sequence[str]) -> list[int]:
    found = {track: row for row, track in enumerate(rows.track.tolist()) if track in set(tracks)} if tracks else {}
    missing = [track for track in tracks if track not in found]
    if missing:
        raise TrackError(f"no track {missing[0]!r} to explain; the predictions have {some(rows.track)}, ...")
    return [found[track] for track in dict.fromkeys(tracks)]


def _first(rows: Rows, mask: np.ndarray, count: int, kind: str, ascending: bool = False) -> list[Example]:
    """The `count` rows of highest (or lowest) confidence where `mask` is true; ties go by the track's name."""
    places = np.flatnonzero(mask)
    confidence = rows.confidence[places]
    order = np.lexsort([rows.track[places].astype(str), confidence if ascending else -confidence])
    return [Example(int(row), kind) for row in places[order[:count]]]
