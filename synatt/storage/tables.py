"""Parquet tables: one file, or a folder of them."""

import pyarrow as pa
import pyarrow.parquet as pq

from synatt.storage.failures import FAILURES, StorageError, why
from synatt.storage.filesystems import join
from synatt.storage.listing import is_dir, is_file, list_files
from synatt.storage.reading import open_input
from synatt.storage.redaction import shown
from synatt.storage.writing import open_output


def write_table(path: str, table: pa.Table, row_group_rows: int = 131_072) -> None:
    """Write `table` as one Parquet file (zstd), whole or not at all."""
    with open_output(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=row_group_rows)


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, or a folder of them, as one table."""
    if is_dir(path):
        return pa.concat_tables([_read(p, columns) for p in parquet_files(path)])
    return _read(path, columns)


def _read(path: str, columns: list[str] | None) -> pa.Table:
    with open_input(path) as file:
        try:
            return pq.read_table(file, columns=columns)
        except FAILURES as err:
            raise StorageError(f"{shown(path)} is not a Parquet table: {why(err)}") from None


def parquet_files(path: str) -> list[str]:
    """`path` itself when it is a file, else the Parquet files directly below it or in its partitions, sorted."""
    if is_file(path):
        return [path]
    names = [name for name, _ in list_files(path) if name.endswith(".parquet") and _in_partition(name)]
    if not names:
        raise StorageError(f"{shown(path)} holds no Parquet file")
    return [join(path, name) for name in names]


def _in_partition(name: str) -> bool:
    return all("=" in folder for folder in name.split("/")[:-1])
