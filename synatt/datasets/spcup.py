"""SP Cup 2022: folders of tracks with a label table in them.

A folder with `labels.csv` (`track,algorithm`) is labelled training material; one with `labels_eval_part<N>.csv`
(`track`; other columns are ignored) is evaluation part N, its labels hidden. An index column may stand first. Folders
may be nested in one of the same name, as the competition's archives unpack; a table covers the audio beside and below
it, down to the next table. Tracks keep the name the table gives them, for the answer file must repeat it.

All tracks are used; folds are stratified by label (the method's data table).
"""

import re

import pandas as pd

from synatt.constants import UNKNOWN
from synatt.datasets import tables
from synatt.datasets.common import (
    LJ_SPEAKER,
    PROBLEM_COLUMNS,
    ROW_COLUMNS,
    Found,
    attach_files,
    drop_duplicates,
    join_frames,
    make_rows,
    problem,
)
from synatt.datasets.listing import Folder
from synatt.datasets.options import Options

SOURCE = "spcup"
CLASSES = ("algorithm_0", "algorithm_1", "algorithm_2", "algorithm_3", "algorithm_4", UNKNOWN)
# Said of the competition's own training folder only: class 0 has one speaker, 1-3 that of LJSpeech, 4 many.
SPEAKERS = {0: "spcup-0", 1: LJ_SPEAKER, 2: LJ_SPEAKER, 3: LJ_SPEAKER}
OFFICIAL_TRAINING = "spcup_2022_training"

_TABLE = re.compile(r"labels(?:_eval_part(?P<part>[1-9]\d?))?\.csv", re.IGNORECASE)


def label_tables(folder: Folder) -> list[str]:
    """Relative paths of the label tables at or below `folder` that a set stands on.

    A table with no audio right beside it is left out when a deeper folder has one of the same name: beside the folder
    of an evaluation set it holds the answers, not a set.
    """
    found = [f for f in folder.files if _TABLE.fullmatch(_split(f)[1])]
    beside = {_split(f)[0] for f in folder.audio}
    return [f for f in found if _split(f)[0] in beside or not any(_is_above(f, other) for other in found)]


def _is_above(table: str, other: str) -> bool:
    (place, name), (below, same) = _split(table), _split(other)
    return name.lower() == same.lower() and place != below and below.startswith(f"{place}/" if place else "")


def _split(file: str) -> tuple[str, str]:
    place, _, name = file.rpartition("/")
    return place, name


def read(folder: Folder, options: Options) -> Found:
    """All sets of the competition's layout at or below `folder`."""
    classes = options.classes or CLASSES
    found = label_tables(folder)
    audio = _coverage(folder, found)
    pairs = [_read_set(folder, table, tuple(audio[table]), classes) for table in found]
    rows, repeated = drop_duplicates(join_frames([rows for rows, _ in pairs], ROW_COLUMNS))
    problems = join_frames([*(problems for _, problems in pairs), repeated], PROBLEM_COLUMNS)
    claimed = tuple(folder.path(_split(table)[0]) for table in found)
    return Found(rows, problems, classes, "stratified", claimed)


def _coverage(folder: Folder, label_files: list[str]) -> dict[str, list[str]]:
    """The audio files that each table covers: those whose nearest folder with a table is the table's own."""
    homes: dict[str, list[str]] = {}
    for table in label_files:
        homes.setdefault(_split(table)[0], []).append(table)
    nearest: dict[str, str | None] = {}
    audio: dict[str, list[str]] = {table: [] for table in label_files}
    for file in folder.audio:
        home = _nearest(_split(file)[0], homes, nearest)
        for table in homes[home] if home is not None else ():
            audio[table].append(file)
    return audio


def _nearest(place: str, homes: dict[str, list[str]], known: dict[str, str | None]) -> str | None:
    if place not in known:
        up = _nearest(_split(place)[0], homes, known) if place else None
        known[place] = place if place in homes else up
    return known[place]


def _read_set(
    folder: Folder, table_file: str, audio: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    place, name = _split(table_file)
    # The nested folder is called like the one around it, and either tells what it holds.
    set_name = _split(place)[1] or folder.name
    hit = _TABLE.fullmatch(name)
    part = hit["part"] if hit else None
    home, table_path = folder.below(place), folder.path(table_file)
    inside = tuple(f[len(place) + 1 :] if place else f for f in audio)
    if part:
        table = tables.read_csv(table_path, ["track"])
        found, problems = attach_files(table[["track"]], table["track"], home, table_path, inside)
        rows = make_rows(
            track=found["track"], path=found["path"], source=f"{SOURCE}_eval_part{part}", part=int(part), split="eval"
        )
        return rows, problems
    table = tables.read_csv(table_path, ["track", "algorithm"])
    labels = read_labels(table["algorithm"], classes)
    wrong = labels.isna()
    bad = problem(
        "unknown_label",
        table["track"][wrong],
        table_path,
        "label '" + table["algorithm"][wrong] + f"' is neither 0..{len(classes) - 1} nor one of {', '.join(classes)}",
    )
    # A file whose label makes no sense is one problem, not two: it stays named while files are matched.
    found, problems = attach_files(table[["track"]].assign(label=labels), table["track"], home, table_path, inside)
    missing = set(problems.loc[problems["kind"] != "file_without_label", "track"])
    found = found[found["label"].notna()]
    return _training_rows(found, set_name, classes), join_frames(
        [bad[~bad["track"].isin(missing)], problems], PROBLEM_COLUMNS
    )


def _training_rows(found: pd.DataFrame, set_name: str, classes: tuple[str, ...]) -> pd.DataFrame:
    names = dict(enumerate(classes))
    official = OFFICIAL_TRAINING in set_name
    algorithm = found["label"].map(names).astype("object")
    return make_rows(
        track=found["track"],
        path=found["path"],
        algorithm=algorithm,
        source=_source(set_name),
        speaker=found["label"].map(SPEAKERS).astype("object") if official else None,
        generator=algorithm.where(algorithm != UNKNOWN, None),
        split="train",
        stratum=algorithm,
    )


def _source(set_name: str) -> str:
    """`spcup` for the training folder, `spcup_<what it is>` for the others (`spcup_unseen`)."""
    lower = set_name.lower()
    if "train" in lower:
        return SOURCE
    return f"{SOURCE}_unseen" if "unseen" in lower else f"{SOURCE}_{set_name}"


def read_labels(cells: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    """Class index of each cell, an index or a class name as text; null for anything else."""
    known = {name: float(i) for i, name in enumerate(classes)} | {str(i): float(i) for i in range(len(classes))}
    # Saved by pandas, a column of integers with gaps reads 3.0.
    return cells.str.strip().str.replace(r"^(\d+)\.0+$", r"\1", regex=True).map(known).astype("float64")
