"""What the method's four external sets share: `metadata.csv` beside `wavs/`, every track of the unknown class."""

from collections.abc import Sequence

import pandas as pd

from synatt.constants import UNKNOWN
from synatt.datasets import tables
from synatt.datasets.common import (
    PROBLEM_COLUMNS,
    Found,
    attach_files,
    draw_share,
    drop_duplicates,
    join_frames,
    make_rows,
)
from synatt.datasets.listing import Folder, below_wavs, without_suffix
from synatt.datasets.options import Options

METADATA = "metadata.csv"


def metadata_folders(folder: Folder) -> list[tuple[str, list[str]]]:
    """``(sub-folder, column names)`` of every `metadata.csv` at or below `folder`."""
    found = [f for f in folder.files if f.rpartition("/")[2].lower() == METADATA]
    return [(f.rpartition("/")[0], tables.header(folder.path(f))) for f in found]


def metadata_path(folder: Folder) -> str:
    """The path of the `metadata.csv` directly in `folder`, however its name is capitalised."""
    return folder.path(next((f for f in folder.files if f.lower() == METADATA), METADATA))


def unknown_rows(
    table: pd.DataFrame, names: pd.Series, folder: Folder, source: str, **columns: pd.Series | str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows of the unknown class, one per row of the table whose file exists, and the problems of the rest.

    Args:
        table: the metadata; its rows become rows in the same order.
        names: how it names the files; tracks are called ``<source>/<name below wavs/, without suffix>``.
        columns: more columns of the rows, each a series of `table` or one value for all.
    """
    tracks = source + "/" + without_suffix(below_wavs(names))
    series = {name: values for name, values in columns.items() if isinstance(values, pd.Series)}
    labelled = pd.DataFrame({"track": tracks, **series}, index=table.index)
    found, problems = attach_files(labelled, names, folder, metadata_path(folder))
    same = {name: value for name, value in columns.items() if name not in series}
    rows = make_rows(
        **{name: found[name] for name in found.columns}, **same, algorithm=UNKNOWN, source=source, split="train"
    )
    rows, repeated = drop_duplicates(rows)
    return rows, join_frames([problems, repeated], PROBLEM_COLUMNS)


def read_speakers(folder: Folder, options: Options, source: str, columns: Sequence[str], share: float) -> Found:
    """A set of many speakers: a share of each one's tracks is used, and folds are grouped by speaker.

    Args:
        columns: names of the columns that hold the file and the speaker; speakers become ``<source>-<id>``.
        share: fraction used where the options name none for this source.
    """
    file, speaker_id = columns
    table = tables.read_csv(metadata_path(folder), columns)
    speaker = prefixed(source, table[speaker_id])
    rows, problems = unknown_rows(table, table[file], folder, source, speaker=speaker, group=speaker)
    used = draw_share(rows, options.shares.get(source, share), ["speaker"], options.seed)
    return Found(used, problems, None, "grouped", (folder.root,))


def prefixed(source: str, ids: pd.Series) -> pd.Series:
    """``<source>-<id>``, unique over all sets; null where the id is empty."""
    ids = ids.str.strip()
    return (source + "-" + ids).where(ids != "", None)


def has(columns: Sequence[str], wanted: Sequence[str]) -> bool:
    """True when all `wanted` names are among `columns`."""
    return set(wanted) <= set(columns)
