"""What every layout gives back, and the checks they share: rows found, problems met, the share that is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
import pandas as pd

from synatt.datasets.listing import Folder, match

# The method's fold rules; 'speaker' is the rule for sets that it does not name (see `synatt.folds.by_speaker`).
FoldRule = Literal["stratified", "grouped", "stratified_grouped", "speaker"]

PROBLEM_COLUMNS = ("kind", "track", "path", "detail")
# `algorithm` is the class name (null: unlabelled); `stratum` and `group` are what the fold rule looks at.
ROW_COLUMNS = ("track", "path", "algorithm", "source", "speaker", "generator", "part", "split", "stratum", "group")

# The one reader of LJSpeech also lent her voice to classes 1-3 of the SP Cup.
LJ_SPEAKER = "ljspeech"


@dataclass(frozen=True)
class Found:
    """One data set: its usable rows, what was dropped, and how its folds are drawn.

    Attributes:
        rows: columns `ROW_COLUMNS`, one row per track.
        problems: columns `PROBLEM_COLUMNS`, one row per dropped row or file.
        classes: class names that the set itself brings; None when all its rows are unknown or unlabelled.
        rule: fold rule of its training rows.
        claimed: folders whose audio this set accounts for.
    """

    rows: pd.DataFrame
    problems: pd.DataFrame
    classes: tuple[str, ...] | None
    rule: FoldRule
    claimed: tuple[str, ...]


def make_rows(**columns: pd.Series | str | int | None) -> pd.DataFrame:
    """A frame with exactly `ROW_COLUMNS`, the ones not given null; series are equally long, scalars repeated."""
    length = max((len(c) for c in columns.values() if isinstance(c, pd.Series)), default=0)
    return pd.DataFrame({name: _filled(columns.get(name), length) for name in ROW_COLUMNS})


def _filled(values: pd.Series | str | int | None, length: int) -> pd.Series:
    cells = values.to_list() if isinstance(values, pd.Series) else [values] * length
    return pd.Series(cells, dtype="object")


def problem(kind: str, track: pd.Series | str | None, path: pd.Series | str, detail: pd.Series | str) -> pd.DataFrame:
    """Problem rows of one kind; series among the arguments are equally long, scalars repeated."""
    given = {"kind": kind, "track": track, "path": path, "detail": detail}
    length = next((len(v) for v in given.values() if isinstance(v, pd.Series)), 1)
    return pd.DataFrame({name: _filled(given[name], length) for name in PROBLEM_COLUMNS})


def join_frames(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """All rows of `frames` in one, numbered anew."""
    filled = [f for f in frames if len(f)]
    if not filled:
        return pd.DataFrame({name: pd.Series([], dtype="object") for name in columns})
    return pd.concat([f.astype("object") for f in filled], ignore_index=True)[list(columns)]


def attach_files(
    table: pd.DataFrame, names: pd.Series, folder: Folder, table_path: str, audio: tuple[str, ...] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a label table whose file exists, with its `path`, and the problems of the others.

    Args:
        table: has the columns `track` and `line` (how problems name the row) besides any others.
        names: how the table names each row's file; see `listing.match`.
        audio: relative paths of the audio that the table should cover; by default all in `folder`.

    Returns:
        (rows with a `path`, problems: `label_without_file`, `ambiguous_file`, `file_without_label`).
    """
    covered = folder.audio if audio is None else audio
    fits = match(names, covered)
    missing = fits.file.isna() & ~fits.ambiguous
    named = fits.contended | set(fits.file.dropna())
    spare = pd.Series([f for f in covered if f not in named], dtype="object")
    table_name = table_path.rpartition("/")[2]
    problems = [
        problem("label_without_file", table["track"][missing], table_path, "no audio file is called " + names[missing]),
        problem(
            "ambiguous_file",
            table["track"][fits.ambiguous],
            table_path,
            "several audio files fit the name " + names[fits.ambiguous],
        ),
        problem("file_without_label", spare, folder.paths(spare), f"not named in {table_name}"),
    ]
    found = table[fits.file.notna()].assign(path=folder.paths(fits.file.dropna()))
    return found.reset_index(drop=True), join_frames(problems, PROBLEM_COLUMNS)


def drop_duplicates(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with each track and each file at most once, and a `duplicate_track` problem for every row dropped.

    Rows that agree on the algorithm: all but the first are dropped. Labelled rows that contradict each other: all of
    them are dropped. An unlabelled row (evaluation) goes before labelled ones, for it must be answered.
    """
    dropped = []
    for key in ("track", "path"):
        rows, problems = _drop_repeats(rows, key)
        dropped.append(problems)
    return rows, join_frames(dropped, PROBLEM_COLUMNS)


def _drop_repeats(rows: pd.DataFrame, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    repeated = rows[rows.duplicated(key, keep=False)]
    if repeated.empty:
        return rows, join_frames([], PROBLEM_COLUMNS)
    labelled = repeated["algorithm"].notna()
    order = repeated.assign(labelled=labelled).sort_values("labelled", kind="stable")
    first = ~order.duplicated(key)
    labels = repeated.groupby(key, sort=False)["algorithm"].agg(lambda names: sorted(set(names.dropna())))
    told = repeated[key].map(labels)
    contradict = told.str.len() > 1
    gone = repeated[~(first.reindex(repeated.index) & ~(contradict & labelled))]
    what = "track" if key == "track" else "file"
    detail = np.where(
        contradict[gone.index],
        f"the {what} stands with contradicting labels " + told[gone.index].str.join(", ") + "; none is kept",
        f"the {what} stands more than once; only one row is kept",
    )
    problems = problem("duplicate_track", gone["track"], gone["path"], pd.Series(detail, dtype="object"))
    return rows.drop(gone.index).reset_index(drop=True), problems


def draw_share(rows: pd.DataFrame, share: float, by: Sequence[str], seed: int) -> pd.DataFrame:
    """A random `share` of the rows of each group, whatever order they come in.

    Each group keeps ``floor(share * n + 0.5)`` of its n rows (halves up), and at least one unless `share` is 0.

    Args:
        share: fraction in 0..1.
        by: columns that form the groups; none: all rows are one group.
    """
    if share >= 1 or rows.empty:
        return rows
    # Ranks of keyed hashes: neither the order of the listing nor another track changes a track's lot.
    keyed = rows.assign(lot=_lots(rows["track"], seed))
    groups = [rows[name].to_numpy() for name in by] or [np.zeros(len(rows), dtype=np.int8)]
    lots = keyed.groupby(groups, dropna=False, sort=False)["lot"]
    keep = np.floor(share * lots.transform("size") + 0.5).clip(lower=1 if share > 0 else 0)
    return rows[lots.rank(method="first") <= keep].reset_index(drop=True)


def _lots(tracks: pd.Series, seed: int) -> np.ndarray:
    digests = [blake2b(f"{seed}\0{t}".encode("utf-8", "surrogatepass"), digest_size=6).digest() for t in tracks]
    return np.array([int.from_bytes(d, "big") for d in digests], dtype=np.int64)
