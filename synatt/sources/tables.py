"""A manifest (Parquet, CSV or JSON lines), batch by batch: never the whole, and only the columns that are needed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from synatt import storage
from synatt.manifest import ManifestError
from synatt.sources.rows import inner_path, make_rows, shown_paths
from synatt.storage import StorageError, why
from synatt.worklist import Rows

COLUMNS = ("track", "path", "source")
BATCH_ROWS = 65_536
# Text is parsed in blocks of this size; a line must be shorter.
BLOCK_BYTES = 1 << 20
# Parquet is fetched in pieces of this size, however large its row groups are.
READ_BYTES = 1 << 20


def read(path: str) -> Iterator[Rows]:
    """The rows of a manifest in order, `path` as it stands there; `location` is absolute.

    Keys are text: a track called 0001 stays 0001. That tracks are unique is not checked here.

    Raises:
        ManifestError: the file cannot be parsed, lacks a column, or has a row without track or path.
    """
    suffix = inner_path(path).lower()
    batches = _parquet if suffix.endswith(".parquet") else _csv if suffix.endswith(".csv") else _jsonl
    here = storage.absolute("x")[:-1]
    done = 0
    for batch in batches(path):
        track, given, source = (text(batch, name, path) for name in COLUMNS)
        require_all(track, "track name", path, done, empty_too=True)
        require_all(given, "path", path, done)
        done += batch.num_rows
        rooted = pc.match_substring_regex(given, r"^(/|[A-Za-z0-9+]+://)")
        located = (
            given if pc.all(rooted).as_py() else pc.if_else(rooted, given, pc.binary_join_element_wise(here, given, ""))
        )
        yield make_rows(track, located, shown_paths(given), source)


@contextmanager
def open_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read in parts; what is wrong with it is one line.

    Raises:
        ManifestError: it is damaged, or no Parquet file.
        StorageError: it cannot be reached.
    """
    with storage.open_input(path) as file, readable(path):
        yield pq.ParquetFile(file, buffer_size=READ_BYTES, pre_buffer=False)


@contextmanager
def readable(path: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as err:
        raise ManifestError(f"{storage.shown(path)} is not a readable table: {why(err)}") from None
    except OSError as err:
        raise StorageError(f"cannot read {storage.shown(path)}: {why(err)}") from None


def _require(names: list[str], path: str) -> None:
    if twice := {name for name in COLUMNS if names.count(name) > 1}:
        raise ManifestError(f"{storage.shown(path)}: manifest has more than one column {min(twice)!r}")
    for name in ("track", "path"):
        if name not in names:
            has = ", ".join(names) or "none"
            raise ManifestError(f"{storage.shown(path)}: manifest has no column {name!r}; it has {has}")


def _parquet(path: str) -> Iterator[pa.RecordBatch]:
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        _require(names, path)
        yield from file.iter_batches(BATCH_ROWS, columns=[name for name in COLUMNS if name in names])


def _csv(path: str) -> Iterator[pa.RecordBatch]:
    # A track called 0001 is a name, not the number 1; a name may hold a line break.
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(COLUMNS, pa.string()),
        include_columns=COLUMNS,
        include_missing_columns=True,
        strings_can_be_null=True,
        null_values=[""],
    )
    parse = pacsv.ParseOptions(newlines_in_values=True)
    blocks = pacsv.ReadOptions(block_size=BLOCK_BYTES)
    with readable(path):
        with storage.open_input(path) as file, pacsv.open_csv(file, blocks, parse) as head:
            _require(head.schema.names, path)
        with storage.open_input(path) as file, pacsv.open_csv(file, blocks, parse, convert) as reader:
            yield from reader


def _jsonl(path: str) -> Iterator[pa.RecordBatch]:
    # A track called 2020-01-01 is a name, not a day.
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    parse = pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    blocks = pajson.ReadOptions(block_size=BLOCK_BYTES)
    with readable(path), storage.open_input(path) as file, pajson.open_json(file, blocks, parse) as reader:
        yield from reader


def text(batch: pa.RecordBatch | pa.Table, name: str, path: str) -> pa.StringArray:
    """A column as text, null where there is none of that name."""
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    try:
        values = batch.column(name).cast(pa.string())
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise ManifestError(f"{storage.shown(path)}: manifest column {name!r} is not string: {why(err)}") from None


def require_all(values: pa.StringArray, what: str, path: str, done: int, empty_too: bool = False) -> None:
    """Refuse a batch in which `what` is null (or empty); `done` rows were before it."""
    lacking = pc.is_null(values)
    if empty_too:
        lacking = pc.or_(lacking, pc.fill_null(pc.equal(values, ""), True))
    if count := pc.sum(lacking).as_py():
        rows, first = done + len(values), done + pc.index(lacking, True).as_py() + 1
        said = f"manifest has rows without a {what}: {count:,} of the first {rows:,}, first row {first:,}"
        raise ManifestError(f"{storage.shown(path)}: {said}")
