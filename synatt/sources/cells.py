"""A Parquet table that holds the recordings themselves; everything but the audio is read."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synatt import storage
from synatt.sources.rows import file_name, make_rows, shown_paths
from synatt.sources.tables import require_all, text
from synatt.worklist import Rows

# Of a column of structs, as Hugging Face writes it, or a plain one.
AUDIO_COLUMNS = ("audio.bytes", "bytes", "audio")


def audio_column(schema: pa.Schema) -> str | None:
    """The column that holds encoded audio, spelled as Parquet does; None where the table has none."""
    columns = _columns(schema)
    return next((name for name in AUDIO_COLUMNS if _is_binary(columns.get(name))), None)


def read(file: pq.ParquetFile, path: str, name: str | None = None) -> Iterator[Rows]:
    """A row per row of the table at `path`, open as `file`; the rows of a row group stay together.

    `track` is the column `track` or `id`, else the path in the audio struct, else ``<name>#<row>``; `path` is the
    column `path` or that of the struct, else ``<file>#row=<row>``. Rows count from 0.

    Args:
        name: of the file in tracks; its file name by default.

    Raises:
        ManifestError: a row has no track, or a column is not text.
    """
    there, location = _columns(file.schema_arrow), storage.absolute(path)
    wanted = [column for column in ("track", "id", "path", "audio.path", "source") if column in there]
    first = 0
    for group in range(file.num_row_groups):
        at = pa.array(range(first, first + file.metadata.row_group(group).num_rows), pa.int64())
        number = at.cast(pa.string())
        table = file.read_row_group(group, columns=wanted).flatten().combine_chunks()
        found = {column: text(table, column, path) for column in wanted}
        track = found.get("track", found.get("id"))
        if track is None:
            track = _first_given([found.get("audio.path")], f"{name or file_name(path)}#", number)
        require_all(track, "track name", path, first, empty_too=True)
        shown = _first_given([found.get("path"), found.get("audio.path")], f"{storage.shown(location)}#row=", number)
        source = found.get("source")
        yield make_rows(track, location, shown_paths(shown), source, "parquet", at, together=True)
        first += len(at)


def _first_given(columns: list[Any], prefix: str, number: pa.StringArray) -> pa.StringArray:
    """Row by row the first text that is not empty, else `prefix` and the row's number."""
    texts = [pc.if_else(pc.equal(texts, ""), None, texts) for texts in columns if texts is not None]
    return pc.coalesce(*texts, pc.binary_join_element_wise(prefix, number, ""))


def _columns(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Names and types of all columns, those of structs by their parts."""
    found: dict[str, pa.DataType] = {}
    for field in schema:
        parts = field.type.fields if pa.types.is_struct(field.type) else ()
        found |= {f"{field.name}.{part.name}": part.type for part in parts} or {field.name: field.type}
    return found


def _is_binary(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
