"""Which evaluated tracks share a recording, a speaker, a sentence or an unknown generator with training."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synatt import storage
from synatt.scored import Rows
from synatt.scoring import Scorer, score_row
from synatt.trained import Trained

EXAMPLES = 5
COLUMNS = ("kind", "column", "reason", "n", "n_compared", "n_touched", "share", "n_shared", "examples")


@dataclass(frozen=True)
class Overlap:
    """One kind of overlap, over N labelled rows.

    Attributes:
        kind: `track`, `path`, `speaker`, `sentence`, `unknown generator`, `any of these` or `soft labels`.
        column: what was compared; null where several were.
        reason: why nothing could be compared; null where it was.
        compared: boolean ``[N]``, rows that could share something.
        touched: boolean ``[N]``, rows that do.
        apart: boolean ``[N]``, rows that training cannot have helped in this way.
        shared: the values that both sides have.
    """

    kind: str
    column: str | None
    reason: str | None
    compared: np.ndarray
    touched: np.ndarray
    apart: np.ndarray
    shared: tuple[str, ...] = ()


def normalised_sentence(text: str) -> str:
    """`text` in one case, without punctuation and with single spaces; '' when nothing is left.

    Apostrophes vanish (don't, dont), all other punctuation parts words (well-known, well known).
    """
    # Folding the case may bring forms that are not normal, and normalising them new capitals.
    for _ in range(3):
        text = unicodedata.normalize("NFKC", text).casefold()
    joined = re.sub(r"['\u2018\u2019\u02bc`\u00b4]", "", text)
    kept = [c if unicodedata.category(c)[0] in "LMN" else " " for c in joined]
    return " ".join("".join(kept).split())


def place(path: str) -> str:
    """`path` as it compares: absolute, and without credentials, which predictions do not keep."""
    return storage.without_credentials(storage.absolute(path))


def find_overlaps(labelled: Rows, trained: Trained, scorer: Scorer) -> list[Overlap]:
    """Every kind of overlap of the `labelled` rows with the rows that were trained on with their true class.

    Soft labels stand apart (kind `soft labels`): such a track's sound was trained on, but not its truth.
    """
    everything = np.ones(len(labelled), bool)
    columns = labelled.columns
    given = {"track": pd.Series(labelled.track), "path": pd.Series(labelled.path)}

    def same(kind: str, names: tuple[str, ...], form: Callable[[str], str], among: np.ndarray = everything) -> Overlap:
        missing = []
        for name in names:
            ours, theirs = given.get(name, columns.get(name)), trained.hard.get(name)
            sides = (("the evaluated tracks", ours), ("the training rows", theirs))
            missing = [who for who, values in sides if values is None or not values.notna().any()]
            if ours is not None and theirs is not None and not missing:
                return _compare(kind, name, _forms(ours, form), _forms(theirs, form), among)
        return _cannot(kind, names[0], f"not given: {' and '.join(missing)} have no {' or '.join(names)}")

    out = [
        same("track", ("track",), str),
        same("path", ("path",), place),
        same("speaker", ("speaker", "voice"), str.strip),
        same("sentence", ("text",), normalised_sentence),
    ]
    unknown = scorer.is_unknown(labelled)
    if unknown.any():
        out.append(same("unknown generator", ("generator",), str.strip, unknown))
    else:
        out.append(_cannot("unknown generator", "generator", "no evaluated track is of an unknown algorithm", unknown))
    told = [o for o in out if o.reason is None]
    touched, apart = np.any([o.touched for o in told], 0), np.all([o.apart for o in told], 0)
    shared = tuple(o.kind for o in told if o.touched.any())
    out.append(Overlap("any of these", None, None, everything, touched, apart, shared))
    return [*out, _softly(labelled, trained, everything)]


def _compare(kind: str, column: str, ours: np.ndarray, theirs: np.ndarray, among: np.ndarray) -> Overlap:
    """What `ours` ``[N]`` and `theirs` share, both text or null, where `among` ``[N]`` is true."""
    known = set(theirs) - {None}
    compared = among & np.array([value is not None for value in ours], bool)
    touched = compared & np.array([value in known for value in ours], bool)
    shared = tuple(sorted({str(value) for value in ours[touched]}))
    # A row outside `among` cannot have been helped; one without a value may have been.
    return Overlap(kind, column, None, compared, touched, ~among | (compared & ~touched), shared)


def _cannot(kind: str, column: str, reason: str, rows: np.ndarray | None = None) -> Overlap:
    none = np.zeros(0 if rows is None else len(rows), bool)
    return Overlap(kind, column, reason, none, none, none)


def _forms(values: pd.Series, form: Callable[[str], str]) -> np.ndarray:
    """object ``[N]``: each value in the form that compares, null where there is none or nothing is left of it."""
    kept = [None if pd.isna(value) else form(str(value)) or None for value in values]
    return np.array([*kept, None], dtype=object)[:-1]


def _softly(labelled: Rows, trained: Trained, everything: np.ndarray) -> Overlap:
    if not len(trained.soft):
        return _cannot("soft labels", "track", "none of the training rows has soft labels")
    return _compare("soft labels", "track", labelled.track, trained.soft["track"].to_numpy(object), everything)


def overlap_frame(overlaps: list[Overlap], n: int) -> pd.DataFrame:
    """Table `overlap`: a row per kind; `n` evaluated labelled tracks."""
    rows = []
    for o in overlaps:
        compared, touched = int(o.compared.sum()), int(o.touched.sum())
        told = o.reason is None
        rows.append(
            {
                "kind": o.kind,
                "column": o.column,
                "reason": o.reason,
                "n": n,
                "n_compared": compared,
                "n_touched": touched,
                "share": touched / compared if told and compared else np.nan,
                "n_shared": len(o.shared),
                "examples": ", ".join(o.shared[:EXAMPLES]) or None,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def unseen_frame(overlaps: list[Overlap], labelled: Rows, scorer: Scorer) -> pd.DataFrame:
    """Table `unseen`: for each kind that was compared, a score row of the tracks touched by it and of those not."""
    out: list[dict[str, Any]] = []
    for o in overlaps:
        if o.reason is None:
            for rows, mask in (("touched", o.touched), ("untouched", o.apart)):
                out.append({"kind": o.kind, "rows": rows, **score_row(labelled.where(mask), scorer)})
    empty = score_row(labelled.where(np.zeros(len(labelled), bool)), scorer)
    return pd.DataFrame(out, columns=["kind", "rows", *empty])
