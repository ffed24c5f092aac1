"""Predictions joined with their true labels: the rows that every number of an evaluation is counted over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synatt import storage
from synatt.errors import UsageError
from synatt.truth import UNLABELLED, Labels, LabelsError, some

REQUIRED = ("track", "status", "error", "algorithm", "confidence", "unknown_score")
PROBABILITY_PREFIX = "p_"
NO_ANSWER = -1


class PredictionsError(UsageError):
    """The predictions cannot be read, lack a column or name a track twice."""


@dataclass(frozen=True)
class Rows:
    """One row per prediction, N in all.

    Attributes:
        track, path, error, run: text, object ``[N]``; `error` is null where there is an answer.
        truth: int64 ``[N]``, true class, `UNLABELLED` where none is known.
        answer: int64 ``[N]``, answered class, `NO_ANSWER` where the recording gave none.
        confidence, unknown_score: float64 ``[N]``; NaN where there is no answer.
        p: float32 ``[N, C]``, NaN where there is no answer.
        columns: what else the labels (or else the predictions) say of a track, as text, N rows.
    """

    track: np.ndarray
    path: np.ndarray
    error: np.ndarray
    run: np.ndarray
    truth: np.ndarray
    answer: np.ndarray
    confidence: np.ndarray
    unknown_score: np.ndarray
    p: np.ndarray
    columns: pd.DataFrame

    def __len__(self) -> int:
        return len(self.track)

    def where(self, mask: np.ndarray) -> "Rows":
        """The rows for which the boolean `mask` is true."""
        arrays = {name: value[mask] for name, value in vars(self).items() if name != "columns"}
        return Rows(**arrays, columns=self.columns[mask])

    @property
    def labelled(self) -> np.ndarray:
        return self.truth != UNLABELLED

    @property
    def answered(self) -> np.ndarray:
        return self.answer != NO_ANSWER

    @property
    def error_kind(self) -> np.ndarray:
        """Text before the first colon of `error`; object ``[N]``, null where there is an answer."""
        kinds = np.full(len(self), None, dtype=object)
        for i in np.flatnonzero(~self.answered):
            kinds[i] = str(self.error[i] or "unnamed").partition(":")[0].strip()
        return kinds


def read_predictions(paths: Sequence[str]) -> tuple[pa.Table, tuple[str, ...]]:
    """All prediction rows in `paths`, and the class names in the order of their `p_<class name>` columns.

    Args:
        paths: Parquet files, folders of them, or a folder that holds `predictions.parquet` or `predictions/`.

    Raises:
        PredictionsError: nothing is there, a column is absent, files disagree on the classes, a track stands twice.
    """
    tables = [_read_one(path) for path in paths]
    if not tables:
        raise PredictionsError("no predictions were given")
    classes = _classes(tables[0])
    for path, table in zip(paths, tables, strict=True):
        if _classes(table) != classes:
            raise PredictionsError(
                f"predictions disagree on the classes: {paths[0]} has {', '.join(classes)}; "
                f"{path} has {', '.join(_classes(table))}"
            )
    table = pa.concat_tables([t.replace_schema_metadata(None) for t in tables], promote_options="permissive")
    track = table.column("track")
    counts = pc.value_counts(track)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise PredictionsError(f"{len(twice)} tracks stand more than once in the predictions, first {some(twice)}")
    if track.null_count:
        raise PredictionsError(f"{track.null_count} predictions have no track name")
    return table, classes


def _read_one(path: str) -> pa.Table:
    if not storage.exists(path):
        raise PredictionsError(f"no such predictions: {path}")
    if storage.is_dir(path):
        for inner in ("predictions.parquet", "predictions"):
            if storage.exists(storage.join(path, inner)):
                path = storage.join(path, inner)
                break
    table = storage.read_table(path)
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing or not _classes(table):
        wanted, found = ", ".join(missing or ["p_<class name>"]), ", ".join(table.column_names)
        raise PredictionsError(f"{path} is not a predictions table: it lacks {wanted}; it has {found}")
    return table


def _classes(table: pa.Table) -> tuple[str, ...]:
    names = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    return tuple(n.removeprefix(PROBABILITY_PREFIX) for n in names if n.startswith(PROBABILITY_PREFIX))


def join(table: pa.Table, classes: tuple[str, ...], labels: Labels) -> Rows:
    """Every prediction with its true label, where there is one.

    Raises:
        LabelsError: there are predictions and labels, but no track is in both.
        PredictionsError: a row with status 'ok' has no answer among `classes`.
    """
    track = _texts(table, "track")
    where = labels.track.get_indexer(pd.Index(track, dtype=object))
    if len(track) and len(labels.track) and not (where >= 0).any():
        raise LabelsError(
            f"none of the {len(labels.track)} labelled tracks is among the {len(track)} predictions: "
            f"labels have {some(labels.track)}; predictions have {some(track)}"
        )
    truth = np.full(len(track), UNLABELLED, np.int64)
    truth[where >= 0] = labels.label[where[where >= 0]]
    columns = labels.columns.reindex(where).reset_index(drop=True)
    known = {"track", "path", "duration_s", "algorithm_name", *REQUIRED, *(PROBABILITY_PREFIX + c for c in classes)}
    for field in table.schema:
        if field.name not in known and field.name not in columns and not pa.types.is_nested(field.type):
            columns[field.name] = pd.Series(_texts(table, field.name), index=columns.index, dtype=object)
    ok = np.array(pc.equal(table.column("status"), "ok").fill_null(False).to_pylist(), dtype=bool)
    answer = np.where(ok, _numbers(table, "algorithm"), NO_ANSWER)
    p = np.stack([_numbers(table, PROBABILITY_PREFIX + c) for c in classes], axis=1).astype(np.float32)
    numbers = {name: np.where(ok, _numbers(table, name), np.nan) for name in ("confidence", "unknown_score")}
    bad = ok & ~((answer >= 0) & (answer < len(classes)) & np.isfinite(p).all(1) & np.isfinite(numbers["confidence"]))
    bad |= ok & ~np.isfinite(numbers["unknown_score"])
    if bad.any():
        raise PredictionsError(f"{bad.sum()} predictions have status 'ok' but no full answer, first {some(track[bad])}")
    return Rows(
        track=track,
        path=_texts(table, "path"),
        error=_texts(table, "error"),
        run=_texts(table, "run"),
        truth=truth,
        answer=answer.astype(np.int64),
        p=p,
        columns=columns,
        **numbers,
    )


def _texts(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, None, dtype=object)
    return np.array([*table.column(name).cast(pa.string()).to_pylist(), None], dtype=object)[:-1]


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """float64 ``[N]``, NaN for null."""
    return table.column(name).cast(pa.float64()).fill_null(float("nan")).to_numpy()
