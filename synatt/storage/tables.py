"""Parquet tables: one file, or a folder of them."""

import pyarrow as pa
import pyarrow.parquet as pq

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import join
from synatt.storage.listing import is_dir, is_file, list_files
from synatt.storage.reading import open_input
from synatt.storage.redaction import shown
from synatt.storage.writing import write_bytes


def write_table(path: str, table: pa.Table, row_group_rows: int = 131_072) -> None:
    """Write `table` as one Parquet file (zstd), whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_rows)
    write_bytes(path, sink.getvalue())


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, or a folder of them, as one table."""
    if is_dir(path):
        return pa.concat_tables([pq.read_table(open_input(p), columns=columns) for p in parquet_files(path)])
    try:
        return pq.read_table(open_input(path), columns=columns)
    except pa.ArrowException as err:
        raise StorageError(f"{shown(path)} is not a Parquet table: {why(err)}") from None


def parquet_files(path: str) -> list[str]:
    """`path` itself when it is a file, else the Parquet files directly below it, sorted."""
    if is_file(path):
        return [path]
    names = [name for name, _ in list_files(path, recursive=False) if name.endswith(".parquet")]
    if not names:
        raise StorageError(f"{shown(path)} holds no Parquet file")
    return [join(path, name) for name in names]
