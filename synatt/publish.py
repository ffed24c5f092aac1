"""Staged files -> the finished tables: merged segment by segment, checked key by key, shown only when whole.

Each segment becomes one file of each table in `ready/`, beside a record of what it holds. When all are there the
folders are moved into place and `_manifest.json`, which lists every file with its rows and digest, is written last.
"""

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synatt import staged, storage, worklist
from synatt.background import mapped
from synatt.errors import WorkError
from synatt.predictions import table_schemas

log = logging.getLogger("synatt")

ROW_GROUP_ROWS = 131_072
# Partition of rows without a source. Not Hive's own name for it, which pandas cannot read as a partition.
NO_VALUE = "__none__"


@dataclass(frozen=True)
class Merge:
    """What is needed to merge the staged files of one segment.

    Attributes:
        work, segment: the worklist's folder and file.
        staging: folder of the segment's staged files.
        ready: folder that gets the merged files.
        part: number of the segment.
        tables: names of the tables to publish.
        classes: class names.
        width: length of an embedding.
        window_s: length of a window; None where recordings are not windowed.
        by_source: one folder per source.
        settings: goes into each file's metadata.
    """

    work: str
    segment: str
    staging: str
    ready: str
    part: int
    tables: tuple[str, ...]
    classes: tuple[str, ...]
    width: int
    window_s: float | None
    by_source: bool
    settings: dict[str, str]


@dataclass
class Summary:
    """What published rows came to.

    Attributes:
        algorithms: rows by `algorithm_name`.
        errors: rows by kind of error.
        files: path below the output, table, rows, bytes and SHA-256 of each file.
    """

    rows: int = 0
    audio_s: float = 0.0
    algorithms: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    files: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.errors.total()

    def add(self, table: pa.Table) -> None:
        """Count the rows of a `predictions` table."""
        self.rows += table.num_rows
        self.audio_s += pc.sum(table.column("duration_s")).as_py() or 0.0
        self.algorithms.update(_counted(table.column("algorithm_name")))
        kinds = pc.list_element(pc.split_pattern(table.column("error").drop_null(), ":", max_splits=1), 0)
        self.errors.update(_counted(kinds))

    def merge(self, other: "Summary") -> None:
        self.rows += other.rows
        self.audio_s += other.audio_s
        self.algorithms.update(other.algorithms)
        self.errors.update(other.errors)
        self.files += other.files

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "algorithms": dict(self.algorithms), "errors": dict(self.errors)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Summary":
        counted = {name: Counter(values[name]) for name in ("algorithms", "errors")}
        return cls(values["rows"], values["audio_s"], counted["algorithms"], counted["errors"], values["files"])


def _counted(values: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    return {c["values"]: c["counts"] for c in pc.value_counts(values).to_pylist() if c["values"] is not None}


def merge_segment(merge: Merge) -> dict[str, Any]:
    """Write the segment's file of each table; returns its `Summary` as plain values.

    Raises:
        WorkError: the staged rows are not the rows of the worklist, one for one and in order.
    """
    shards = staged.finished_in(merge.staging)
    summary = Summary()
    with ExitStack() as stack:
        files = _Files(merge, stack)

        def read(place: tuple[int, pa.RecordBatch]) -> tuple[int, pa.RecordBatch, dict[str, pa.Table]]:
            number, rows = place
            if number not in shards:
                raise WorkError(f"shard {number} of {merge.segment} has no staged rows: run the same command again")
            return number, rows, _published(merge, shards[number])

        # Staged files are small and many: on a bucket each costs a round trip.
        places = enumerate(worklist.iter_shards(merge.work, merge.segment))
        for number, rows, tables in mapped(read, places, threads=16):
            check_keys(rows.column("track"), tables["predictions"].column("track"), f"shard {number}")
            summary.add(tables["predictions"])
            for kind in merge.tables:
                files.write(kind, tables[kind], rows)
        files.flush()
    summary.files = files.written()
    return summary.as_dict()


def _published(merge: Merge, names: list[staged.Name]) -> dict[str, pa.Table]:
    kinds = [staged.UNITS, *(k for k in merge.tables if k in (staged.MEMBERS, staged.EMBEDDINGS))]
    read = {
        kind: pa.concat_tables([storage.read_table(storage.join(merge.staging, kind, str(name))) for name in names])
        for kind in kinds
    }
    if merge.window_s is None:
        return staged.without_windows(read)
    return staged.over_windows(read, merge.classes, merge.window_s, "windows" in merge.tables)


def check_keys(wanted: pa.Array, found: pa.ChunkedArray, where: str) -> None:
    """Compare the keys of input and output.

    Raises:
        WorkError: a key is missing, foreign, there twice or in another place.
    """
    found = found.combine_chunks()
    if not wanted.equals(found):
        missing = pc.sum(pc.invert(pc.is_in(wanted, value_set=found))).as_py() or 0
        twice = len(found) - pc.count_distinct(found).as_py()
        raise WorkError(
            f"{where}: the predictions do not match the input: {len(wanted)} rows asked, {len(found)} written, "
            f"{missing} missing, {twice} there twice; run again with --fresh"
        )


class _Files:
    """The open files of a segment: one per table, or per table and source; rows are gathered into large row groups."""

    def __init__(self, merge: Merge, stack: ExitStack) -> None:
        self._merge, self._stack = merge, stack
        self._open: dict[tuple[str, str], _OneFile] = {}
        self._schemas = {
            kind: schema.with_metadata({**(schema.metadata or {}), **_encoded(merge.settings)})
            for kind, schema in table_schemas(merge.classes, merge.width).items()
        }
        if not merge.by_source:
            for kind in merge.tables:
                self._file(kind, "")

    def write(self, kind: str, table: pa.Table, rows: pa.RecordBatch) -> None:
        if not self._merge.by_source:
            self._file(kind, "").add(table)
            return
        at = pc.index_in(table.column("track"), value_set=rows.column("track"))
        source = rows.column("source").take(at.combine_chunks()).fill_null("")
        for value in pc.unique(source).to_pylist():
            self._file(kind, value or NO_VALUE).add(table.filter(pc.equal(source, value)))

    def _file(self, kind: str, source: str) -> "_OneFile":
        if (kind, source) not in self._open:
            folder = f"{kind}/source={quote(source, safe=' ')}" if source else kind
            name = f"{folder}/part-{self._merge.part:05d}.parquet"
            out = self._stack.enter_context(storage.open_output(storage.join(self._merge.ready, name)))
            self._open[kind, source] = _OneFile(kind, name, self._schemas[kind], out)
            # Before `out` is dropped after an error: the writer would write its footer there when it is collected.
            self._stack.callback(self._open[kind, source].end)
        return self._open[kind, source]

    def flush(self) -> None:
        if not self._open:
            # No row, no source; the tables are there all the same, with their columns.
            for kind in self._merge.tables:
                self._file(kind, "")
        for file in self._open.values():
            file.close()

    def written(self) -> list[dict[str, Any]]:
        return [file.record() for file in self._open.values()]


class _OneFile:
    def __init__(self, kind: str, name: str, schema: pa.Schema, out: BinaryIO) -> None:
        self._kind, self._name, self._schema = kind, name, schema
        self._sink = _Hashing(out)
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")
        self._held: list[pa.Table] = []
        self._rows = self._total = 0

    def add(self, table: pa.Table) -> None:
        self._held.append(table.replace_schema_metadata(None))
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        if self._held:
            whole = pa.concat_tables(self._held).select(self._schema.names).cast(self._schema)
            self._writer.write_table(whole, row_group_size=2 * ROW_GROUP_ROWS)
            self._total += self._rows
            self._held, self._rows = [], 0

    def close(self) -> None:
        self._write()
        self.end()

    def end(self) -> None:
        self._writer.close()

    def record(self) -> dict[str, Any]:
        size, digest = self._sink.result()
        return {"file": self._name, "table": self._kind, "rows": self._total, "bytes": size, "sha256": digest}


class _Hashing(io.RawIOBase):
    """A file to write that digests what passes through."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._digest, self._size = out, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._out.write(view)
        self._digest.update(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size

    def result(self) -> tuple[int, str]:
        return self._size, self._digest.hexdigest()


def _encoded(settings: dict[str, str]) -> dict[bytes, bytes]:
    return {f"synatt.{key}".encode(): value.encode() for key, value in settings.items()}


def move_into_place(ready: str, output: str, kinds: tuple[str, ...]) -> None:
    """Show the finished tables: a rename on a disk, server-side copies on an object store."""
    for kind in kinds:
        there = storage.join(ready, kind)
        if storage.is_dir(there):
            # An unfinished move of an earlier try leaves files that are overwritten by the same ones.
            storage.move_dir(there, storage.join(output, kind))


def summary_lines(summary: Summary) -> Iterator[str]:
    """What to tell a person at the end."""
    ok = summary.rows - summary.failed
    yield f"{summary.rows:,} rows: {ok:,} ok, {summary.failed:,} errors, {summary.audio_s / 3600:.2f} h of audio"
    for name, count in summary.algorithms.most_common():
        yield f"  {name:<24} {count:,}"
    for kind, count in summary.errors.most_common():
        yield f"  error {kind:<18} {count:,}"
