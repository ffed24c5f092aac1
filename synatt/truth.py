"""True labels: any table with `track` and `label` (or `algorithm`) -> one class index per track, and its other columns.

Labels may be class indices or names, in CSV (an index column may stand first), JSONL, Parquet or a manifest folder.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json as pajson

from synatt import storage
from synatt.errors import UsageError
from synatt.manifest import CLASSES_KEY

LABEL_COLUMNS = ("label", "algorithm")
UNLABELLED = -1
# What stands in the column `p` (soft labels) of a table that was read as text, where a row has one.
GIVEN = "given"


class LabelsError(UsageError):
    """The true labels cannot be read, name no track or no class, or name a track twice."""


@dataclass(frozen=True)
class Labels:
    """True labels of tracks.

    Attributes:
        track: unique track names, one per row.
        label: int64, index into the classes or `UNLABELLED`.
        columns: the other columns as text (null where not given), same rows.
    """

    track: pd.Index
    label: np.ndarray
    columns: pd.DataFrame


def read_labels(paths: Sequence[str], classes: Sequence[str]) -> Labels:
    """All rows of the label tables at `paths`, labels as indices into `classes`.

    Raises:
        LabelsError: a file is unreadable, lacks a column, names a track twice or a label outside `classes`.
    """
    parts = [read_label_table(path, classes).drop(columns="p", errors="ignore") for path in paths]
    if not parts:
        return Labels(pd.Index([], dtype=object), np.zeros(0, np.int64), pd.DataFrame())
    merged = pd.concat(parts, ignore_index=True)
    twice = merged["track"][merged["track"].duplicated()].unique()
    if len(twice):
        raise LabelsError(f"{len(twice)} tracks stand more than once in the true labels, first {some(twice)}")
    columns = merged.drop(columns=["track", "label"])
    return Labels(pd.Index(merged["track"]), merged["label"].to_numpy(np.int64), columns)


def some(names: Sequence[str] | np.ndarray | pd.Index, n: int = 3) -> str:
    """The first few names, quoted, for a message."""
    return ", ".join(repr(str(name)) for name in names[:n])


def read_label_table(path: str, classes: Sequence[str]) -> pd.DataFrame:
    """One table as text, with `track` and, as an index into `classes`, `label`; `p` only says where it is given.

    Raises:
        LabelsError: as `read_labels`, but for tracks that stand twice.
    """
    table, own_classes = _read_text_columns(path)
    found = ", ".join(str(c) for c in table.columns) or "none"
    if "track" not in table.columns:
        raise LabelsError(f"{path} has no column 'track'; its columns are {found}")
    column = next((name for name in LABEL_COLUMNS if name in table.columns), None)
    if column is None:
        raise LabelsError(f"{path} has no column 'label' or 'algorithm'; its columns are {found}")
    nameless = int(table["track"].isna().sum())
    if nameless:
        raise LabelsError(f"{path} has {nameless} rows without a track name")
    codes = {}
    for value in table[column].dropna().unique():
        codes[value] = _class_index(value, classes, own_classes)
        if codes[value] is None:
            track = table["track"][table[column] == value].iloc[0]
            allowed = f"0..{len(classes) - 1} or one of {', '.join(classes)}"
            raise LabelsError(f"{path}: {column} {value!r} of track {track!r} is not a predicted class ({allowed})")
    label = table[column].map(codes).fillna(UNLABELLED).astype(np.int64)
    others = table.drop(columns=["track", *LABEL_COLUMNS], errors="ignore")
    return others.assign(track=table["track"].astype(object), label=label)


def _class_index(value: str, classes: Sequence[str], own_classes: Sequence[str] | None) -> int | None:
    """Index into `classes` of a label given as a name or a number; None when it is neither.

    A manifest's numbers index the manifest's own classes, which need not stand in the predictions' order.
    """
    text = value.strip()
    if text in classes:
        return list(classes).index(text)
    try:
        number = float(text)
    except ValueError:
        return None
    numbered = own_classes or classes
    if not number.is_integer() or not 0 <= number < len(numbered):
        return None
    name = numbered[int(number)]
    return list(classes).index(name) if name in classes else None


def _read_text_columns(path: str) -> tuple[pd.DataFrame, list[str] | None]:
    """Every column as text, and the class names when the file carries them."""
    if storage.is_dir(path):
        inner = storage.join(path, "manifest.parquet")
        path = inner if storage.is_file(inner) else path
    if path.endswith((".csv", ".csv.gz", ".tsv", ".txt")):
        return _read_csv(path), None
    if path.endswith((".jsonl", ".json")):
        try:
            # Without threads, see `manifest.read`.
            alone = pajson.ReadOptions(use_threads=False)
            return _as_text(pajson.read_json(io.BytesIO(storage.read_bytes(path)), alone)), None
        except pa.ArrowInvalid as err:
            raise LabelsError(f"{path} is not JSON lines: {str(err).splitlines()[0]}") from None
    if not storage.exists(path):
        raise LabelsError(f"no such labels: {path}")
    table = storage.read_table(path)
    kept = (table.schema.metadata or {}).get(CLASSES_KEY)
    return _as_text(table), json.loads(kept) if kept else None


def _read_csv(path: str) -> pd.DataFrame:
    # Everything stays text: a track called 0001 is a name, and a speaker called NA is not a gap.
    try:
        table = pd.read_csv(
            io.BytesIO(storage.read_bytes(path)),
            sep="\t" if path.endswith(".tsv") else ",",
            compression="gzip" if path.endswith(".gz") else None,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
        )
    except (ValueError, OSError) as err:  # pandas' parser errors are ValueErrors
        raise LabelsError(f"{path} is not a readable CSV file: {str(err).splitlines()[0]}") from None
    table.columns = table.columns.str.strip()
    return table.loc[:, ~table.columns.str.match(r"^(Unnamed: \d+)?$")].astype(object)


def _as_text(table: pa.Table) -> pd.DataFrame:
    columns = {}
    for name in table.column_names:
        values = table.column(name)
        if name == "p":
            columns[name] = pd.Series(values.is_valid().to_pylist(), dtype=object).map({True: GIVEN, False: None})
            continue
        if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
            continue
        columns[name] = pd.Series(values.cast(pa.string()).to_pylist(), dtype=object)
    return pd.DataFrame(columns)
