"""The manifest: one row per track, the table that every job starts from.

Class names travel with it, in the Parquet schema metadata under `synatt.classes`.
"""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from synatt import storage
from synatt.errors import UsageError

CLASSES_KEY = b"synatt.classes"
MANIFEST_SUFFIXES = (".parquet", ".csv", ".jsonl")

# Column -> Arrow type; `p` depends on the number of classes and is added by `schema`.
COLUMNS: dict[str, pa.DataType] = {
    "track": pa.string(),
    "path": pa.string(),
    "label": pa.int8(),
    "source": pa.string(),
    "speaker": pa.string(),
    "generator": pa.string(),
    "part": pa.int8(),
    "split": pa.string(),
    "fold": pa.int8(),
}

PROBLEMS = pa.schema([("kind", pa.string()), ("track", pa.string()), ("path", pa.string()), ("detail", pa.string())])


class ManifestError(UsageError):
    """A manifest cannot be read or breaks its schema."""


@dataclass(frozen=True)
class Manifest:
    """A validated manifest table and the names of the classes its labels index."""

    table: pa.Table
    classes: tuple[str, ...] | None

    def __len__(self) -> int:
        return self.table.num_rows

    def where(self, mask: "pa.ChunkedArray | pa.Array | np.ndarray") -> "Manifest":
        """The rows for which the boolean `mask` is true."""
        return Manifest(self.table.filter(pa.array(mask) if isinstance(mask, np.ndarray) else mask), self.classes)

    def column(self, name: str) -> list[Any]:
        return self.table.column(name).to_pylist()


def schema(n_classes: int | None) -> pa.Schema:
    """The manifest's own columns; `p` is a fixed-size list once the number of classes is known."""
    fields = [pa.field(name, kind) for name, kind in COLUMNS.items()]
    p = pa.list_(pa.float32(), n_classes) if n_classes else pa.list_(pa.float32())
    return pa.schema([*fields[:3], pa.field("p", p), *fields[3:]])


def build(rows: list[dict[str, Any]] | pd.DataFrame | pa.Table, classes: tuple[str, ...] | None) -> Manifest:
    """A manifest from rows that hold any of the columns; the missing ones become null, unknown ones are kept.

    Args:
        rows: `track` and `path` are required. `label` indexes `classes`; `p` holds one probability per class.
        classes: names of the classes, 'unknown' last; None for purely unlabelled tracks.

    Raises:
        ManifestError: a required column is absent, a key is empty or stands twice, a label or `p` is out of range.
    """
    table = _as_table(rows)
    if twice := {name for name in table.column_names if table.column_names.count(name) > 1}:
        raise ManifestError(f"manifest has more than one column {min(twice)!r}")
    for name in ("track", "path"):
        if name not in table.column_names:
            raise ManifestError(f"manifest has no column {name!r}; it has {', '.join(table.column_names) or 'none'}")
    wanted = schema(len(classes) if classes else None)
    columns, fields = [], []
    for want in wanted:
        fields.append(want)
        columns.append(_cast(table, want))
    for name in table.column_names:
        if name not in wanted.names:
            values = table.column(name)
            columns.append(values.cast(pa.string()) if pa.types.is_null(values.type) else values)
            fields.append(pa.field(name, columns[-1].type))
    meta = {CLASSES_KEY: json.dumps(classes).encode()} if classes else None
    built = Manifest(pa.table(columns, schema=pa.schema(fields, metadata=meta)), classes)
    _check(built)
    return built


def _as_table(rows: list[dict[str, Any]] | pd.DataFrame | pa.Table) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pd.DataFrame):
        return pa.Table.from_pandas(rows, preserve_index=False)
    if not rows:
        return pa.table({"track": pa.array([], pa.string()), "path": pa.array([], pa.string())})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})


def _column(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as err:
        raise ManifestError(f"manifest column {name!r} mixes types: {str(err).splitlines()[0]}") from None


def _cast(table: pa.Table, want: pa.Field) -> pa.ChunkedArray | pa.Array:
    if want.name not in table.column_names:
        return pa.nulls(table.num_rows, want.type)
    values = table.column(want.name)
    try:
        if pa.types.is_string(want.type) and not pa.types.is_string(values.type):
            return values.cast(pa.string())
        if pa.types.is_floating(values.type) and pa.types.is_integer(want.type):
            # pandas turns integers with gaps into floats.
            values = pc.if_else(pc.is_nan(values.fill_null(0)), None, values)
        return values.cast(want.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise ManifestError(f"manifest column {want.name!r} is not {want.type}: {str(err).splitlines()[0]}") from None


def _check(m: Manifest) -> None:
    track = m.table.column("track")
    if track.null_count or pc.any(pc.equal(pc.utf8_length(track), 0)).as_py():
        raise ManifestError("manifest has rows without a track name")
    if m.table.column("path").null_count:
        raise ManifestError("manifest has rows without a path")
    if m.table.num_rows != pc.count_distinct(track).as_py():
        counts = pc.value_counts(track)
        twice = [row["values"] for row in counts.to_pylist() if row["counts"] > 1]
        raise ManifestError(f"track {twice[0]!r} stands more than once in the manifest ({len(twice)} such tracks)")
    if m.classes is not None:
        label = m.table.column("label")
        bad = label.filter(pc.or_(pc.less(label, 0), pc.greater_equal(label, len(m.classes))))
        if len(bad):
            raise ManifestError(f"label {bad[0]} is outside 0..{len(m.classes) - 1} ({', '.join(m.classes)})")
    p = soft_labels(m)
    if len(p) and (not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(1) - 1) > 1e-3).any()):
        raise ManifestError("soft labels 'p' must be probabilities that sum to 1")


def soft_labels(m: Manifest) -> np.ndarray:
    """float32 ``[rows with p, C]``: the soft labels that are not null."""
    rows = m.table.column("p").drop_null().to_pylist()
    if len({len(row) for row in rows}) > 1:
        raise ManifestError("soft labels 'p' must have as many numbers in every row")
    return np.asarray(rows, dtype=np.float32) if rows else np.zeros((0, len(m.classes or ())), np.float32)


def targets(m: Manifest, n_classes: int) -> np.ndarray:
    """float32 ``[rows, C]``: `p` where a row has it, else one-hot `label`, else NaN."""
    out = np.full((len(m), n_classes), np.nan, dtype=np.float32)
    for i, (label, p) in enumerate(zip(m.column("label"), m.column("p"), strict=True)):
        if p is not None:
            out[i] = p
        elif label is not None:
            out[i] = 0.0
            out[i, label] = 1.0
    return out


def read(path: str, classes: tuple[str, ...] | None = None) -> Manifest:
    """The manifest in a Parquet, CSV or JSONL file, or in a folder that holds `manifest.parquet`.

    Args:
        path: local path or URI.
        classes: class names to use when the file carries none (CSV, JSONL).
    """
    if storage.is_dir(path):
        path = storage.join(path, "manifest.parquet")
    suffix = path.lower()
    # A process that ends at once, since a manifest cannot be used, was aborted in some one of ten runs where Arrow's
    # threads had parsed it (as in apache/arrow#34314), and in none without: texts are read without threads.
    try:
        if suffix.endswith(".parquet"):
            table = storage.read_table(path)
        elif suffix.endswith(".csv"):
            table = pacsv.read_csv(
                io.BytesIO(storage.read_bytes(path)), pacsv.ReadOptions(use_threads=False), convert_options=_text_keys()
            )
        elif suffix.endswith(".jsonl"):
            table = pajson.read_json(
                io.BytesIO(storage.read_bytes(path)), pajson.ReadOptions(use_threads=False), _text_values()
            )
        else:
            raise ManifestError(f"{path}: a manifest ends in {', '.join(MANIFEST_SUFFIXES)}")
    except pa.ArrowInvalid as err:
        raise ManifestError(f"{path} is not a readable manifest: {str(err).splitlines()[0]}") from None
    kept = (table.schema.metadata or {}).get(CLASSES_KEY)
    return build(table.replace_schema_metadata(None), tuple(json.loads(kept)) if kept else classes)


def _text_keys() -> pacsv.ConvertOptions:
    # A track called 0001 is a name, not the number 1.
    text = [name for name, kind in COLUMNS.items() if pa.types.is_string(kind)]
    return pacsv.ConvertOptions(
        column_types=dict.fromkeys(text, pa.string()), strings_can_be_null=True, null_values=[""]
    )


def _text_values() -> pajson.ParseOptions:
    # A track called 2020-01-01 is a name, not a day.
    text = pa.schema([(name, kind) for name, kind in COLUMNS.items() if pa.types.is_string(kind)])
    return pajson.ParseOptions(explicit_schema=text, unexpected_field_behavior="infer")


def write(path: str, m: Manifest) -> None:
    """Write `m` as one Parquet file (zstd), whole or not at all."""
    storage.write_table(path, m.table)


def concat(manifests: list[Manifest]) -> Manifest:
    """All rows of `manifests`, which must agree on the classes (those without classes fit any)."""
    named = {m.classes for m in manifests if m.classes is not None}
    if len(named) > 1:
        raise ManifestError(f"manifests disagree on the classes: {' / '.join(', '.join(c) for c in sorted(named))}")
    classes = next(iter(named), None)
    # Without rows a manifest adds nothing, not even its own columns.
    filled = [m for m in manifests if len(m)] or manifests[:1]
    if len(filled) == 1 and filled[0].classes == classes:
        return filled[0]
    tables = [build(m.table.replace_schema_metadata(None), classes).table for m in filled]
    merged = pa.concat_tables([t.replace_schema_metadata(None) for t in tables], promote_options="default")
    return build(merged, classes)


def problems_table(rows: list[dict[str, str | None]]) -> pa.Table:
    """The `problems` table: what was dropped, by kind, track, path and a sentence."""
    return pa.Table.from_pylist(rows, schema=PROBLEMS)
