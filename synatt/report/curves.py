"""Learning curves: the `curve.csv` of model folders, or any table with an `epoch` column -> one series per model."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from synatt import storage
from synatt.errors import UsageError

FILE_NAMES = ("curve.csv", "curve.parquet", "curves.csv", "curves.parquet")
# Text columns that say which model or fold a row of a shared table belongs to.
NAME_COLUMNS = ("stage", "backbone", "model", "fold", "trial")


class CurveError(UsageError):
    """No learning curve is where one was asked for."""


@dataclass(frozen=True)
class Curve:
    """Numbers by epoch of one training; `values` has `epoch` and numeric columns."""

    name: str
    values: pd.DataFrame


def read_curves(paths: Sequence[str]) -> list[Curve]:
    """All learning curves in tables, model folders or folders of model folders.

    Raises:
        CurveError: a path holds none, or a table has no `epoch` column.
    """
    curves = []
    for path in paths:
        for name, file in _files(path):
            curves += _split(name, _read(file))
    return _without_common_folder(curves)


def _without_common_folder(curves: list[Curve]) -> list[Curve]:
    common = os.path.commonpath([c.name for c in curves]) if len({c.name for c in curves}) > 1 else ""
    return [Curve(c.name.removeprefix(common).lstrip("/"), c.values) for c in curves]


def _files(path: str) -> list[tuple[str, str]]:
    """(name of the model, curve file): the name is the folder from the last part of `path` on."""
    last = path.rstrip("/").rpartition("/")[2]
    if storage.is_file(path):
        return [(path.rstrip("/").rpartition("/")[0].rpartition("/")[2] or last, path)]
    found = [name for name, _ in storage.list_files(path) if name.rpartition("/")[2] in FILE_NAMES]
    if not found:
        raise CurveError(f"{path} holds no learning curve ({', '.join(FILE_NAMES)})")
    return [(storage.join(last, name.rpartition("/")[0]).rstrip("/"), storage.join(path, name)) for name in found]


def _read(file: str) -> pd.DataFrame:
    if file.endswith(".parquet"):
        table: pd.DataFrame = storage.read_table(file).to_pandas()
    else:
        try:
            table = pd.read_csv(io.BytesIO(storage.read_bytes(file)))
        except ValueError as err:  # pandas' parser errors are ValueErrors
            raise CurveError(f"{file} is not a readable CSV file: {str(err).splitlines()[0]}") from None
    if "epoch" not in table.columns:
        raise CurveError(f"{file} has no column 'epoch'; its columns are {', '.join(map(str, table.columns))}")
    return table


def _split(name: str, table: pd.DataFrame) -> list[Curve]:
    keys = [c for c in NAME_COLUMNS if c in table.columns]
    numbers = table.drop(columns=keys).select_dtypes("number")
    if not keys:
        return [Curve(name, numbers)]
    names = table[keys].astype(str).agg(" ".join, axis=1)
    return [Curve(str(one), numbers[names == one]) for one in names.unique()]
