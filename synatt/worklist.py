"""The work of a prediction run, on storage: one row per recording, cut into shards, read by the workers themselves.

Inputs arrive as a stream of rows and leave memory at once. They are written as segments, Arrow IPC files with one
record batch per shard, so that a worker fetches its own shard and nothing else, and so that the driver never holds
more than the shard at hand. Rows keep their order; a row is known by its position.
"""

import hashlib
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import storage
from synatt.errors import UsageError

# `track` key; `path` as tables and logs show it (never a secret); `source` of the manifest, null where not known;
# `location` what is opened; `held` null for a file of its own, else the kind of container that `location` is; `at` and
# `size`: byte offset and bytes of a member of a tar, or row number in a Parquet file (size null).
SCHEMA = pa.schema(
    [
        ("track", pa.string()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("location", pa.string()),
        ("held", pa.string()),
        ("at", pa.int64()),
        ("size", pa.int64()),
    ]
)

# Rows of a segment: one execution of Ray Data, one file of the finished table. At some 90 bytes a row that file has
# 128 to 512 MB, and the cost of an execution's start is spread over minutes.
SEGMENT_ROWS = 1 << 21
# Rows of a shard, the unit that is retried: a second or two of decoding, so that a task's start counts little. What a
# killed run had scored of an unfinished shard is scored again, so with more models shards are smaller (`most_rows`).
MAX_SHARD_ROWS, MIN_SHARD_ROWS, SHARDS_OF_A_SIZE = 1024, 16, 4
# Rows that are decoded together because they lie together (a row group of Parquet) stay in one shard up to this many.
MAX_TOGETHER_ROWS = 4096
PLACES = 256


@dataclass(frozen=True)
class Rows:
    """A run of input rows in `SCHEMA`; `together`: they share one read (a Parquet row group), and stay in a shard."""

    batch: pa.RecordBatch
    together: bool = False


@dataclass(frozen=True)
class Segment:
    """One file of work: its name, rows and shards."""

    name: str
    rows: int
    shards: int


@dataclass(frozen=True)
class Worklist:
    """All work of a run, as it lies in a folder.

    Attributes:
        rows: number of rows.
        digest: SHA-256 (hex) of all tracks, paths and sources in order.
        segments: in the order of the rows.
    """

    rows: int
    digest: str
    segments: tuple[Segment, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Worklist":
        return cls(values["rows"], values["digest"], tuple(Segment(**s) for s in values["segments"]))


def most_rows(models: int) -> int:
    """Rows of the largest shards where so many models score each row."""
    return max(MIN_SHARD_ROWS, MAX_SHARD_ROWS // models)


def write(
    rows: Iterable[Rows], folder: str, max_shard_rows: int = MAX_SHARD_ROWS, segment_rows: int = SEGMENT_ROWS
) -> Worklist:
    """Write a stream of rows as segments below `folder`.

    Raises:
        UsageError: a track stands twice.
    """
    digest, keys, total = Digest(), _Keys(), 0
    segments: list[Segment] = []
    with tempfile.TemporaryDirectory(prefix="synatt-keys-") as scratch:
        numbered = _numbered(_shards(rows, max_shard_rows), segment_rows)
        # An empty input has one empty segment: it too becomes a table.
        groups = itertools.groupby(numbered, key=lambda pair: pair[0])
        for number, shards in itertools.chain([next(groups, (0, iter(())))], groups):
            name, count, n = f"segment-{number:05d}.arrow", 0, 0
            with (
                storage.open_output(storage.join(folder, name)) as out,
                pa.ipc.new_file(out, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer,
            ):
                for _, shard in shards:
                    digest.update(shard)
                    keys.add(shard.column("track"), scratch)
                    writer.write_batch(shard)
                    count, n = count + shard.num_rows, n + 1
            segments.append(Segment(name, count, n))
            total += count
        twice = keys.twice(scratch)
    if repeated := _names(folder, segments, twice):
        raise UsageError(
            f"{len(repeated)} tracks stand more than once in the input, first {repeated[0]!r}: tracks must be unique"
        )
    return Worklist(total, digest.hex(), tuple(segments))


def read_shard(folder: str, segment: str, shard: int) -> pa.RecordBatch:
    """The rows of one shard; nothing else of the segment is read but its index."""
    with storage.open_input(storage.join(folder, segment)) as file:
        return pa.ipc.open_file(file).get_batch(shard)


def iter_shards(folder: str, segment: str) -> Iterator[pa.RecordBatch]:
    """The shards of a segment in order, one in memory at a time."""
    with storage.open_input(storage.join(folder, segment)) as file:
        reader = pa.ipc.open_file(file)
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def digest_of(rows: Iterable[Rows]) -> tuple[int, str]:
    """(number of rows, digest) of a stream, as `write` would give them."""
    digest, count = Digest(), 0
    for part in rows:
        digest.update(part.batch)
        count += part.batch.num_rows
    return count, digest.hex()


class Digest:
    """SHA-256 of what a run is asked to do; it does not depend on how the rows are cut into batches."""

    def __init__(self) -> None:
        self._columns = {name: (hashlib.sha256(), hashlib.sha256()) for name in ("track", "path", "source")}

    def update(self, batch: pa.RecordBatch) -> None:
        for name, (lengths, texts) in self._columns.items():
            values = batch.column(name)
            sizes = pa.compute.binary_length(values).fill_null(-1).to_numpy(zero_copy_only=False)
            lengths.update(np.ascontiguousarray(sizes, dtype=np.int32).tobytes())
            texts.update(_text_bytes(values))

    def hex(self) -> str:
        whole = hashlib.sha256()
        for lengths, texts in self._columns.values():
            whole.update(lengths.digest() + texts.digest())
        return whole.hexdigest()


def _text_bytes(values: pa.StringArray) -> memoryview:
    if not len(values) or values.buffers()[2] is None:
        return memoryview(b"")
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)
    start, stop = int(offsets[values.offset]), int(offsets[values.offset + len(values)])
    return memoryview(values.buffers()[2])[start:stop]


def shard_rows(shard: int, most: int) -> int:
    """Rows of a shard by its number: small at first, so that a small input too keeps every core busy."""
    return min(most, MIN_SHARD_ROWS << min(shard // SHARDS_OF_A_SIZE, 16))


def _shards(rows: Iterable[Rows], most: int) -> Iterator[pa.RecordBatch]:
    """Cut a stream into shards; rows that share one read are not parted, unless they are very many."""
    waiting: list[pa.RecordBatch] = []
    have = made = 0
    for part in rows:
        batch, start = part.batch, 0
        while start < batch.num_rows:
            room = shard_rows(made, most) - have
            whole = part.together and batch.num_rows <= MAX_TOGETHER_ROWS
            take = batch.num_rows - start if whole else min(batch.num_rows - start, room)
            waiting.append(batch.slice(start, take))
            have, start = have + take, start + take
            if have >= shard_rows(made, most):
                yield _joined(waiting)
                waiting, have, made = [], 0, made + 1
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches, SCHEMA).combine_chunks().to_batches()[0]


def _numbered(shards: Iterable[pa.RecordBatch], most: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(segment, shard): a segment is closed once it has `most` rows."""
    segment = have = 0
    for shard in shards:
        yield segment, shard
        have += shard.num_rows
        if have >= most:
            segment, have = segment + 1, 0


class _Keys:
    """Finds keys that stand twice in any number of rows: 64-bit hashes, parted into files that fit in memory."""

    FLUSH_ROWS = 1 << 20

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []
        self._rows = 0

    def add(self, tracks: pa.StringArray, scratch: str) -> None:
        self._held.append(hashed(tracks))
        self._rows += len(tracks)
        if self._rows >= self.FLUSH_ROWS:
            self._flush(scratch)

    def _flush(self, scratch: str) -> None:
        keys = np.sort(np.concatenate([*self._held, np.zeros(0, np.uint64)]))
        bounds = np.searchsorted(keys >> np.uint64(56), np.arange(PLACES + 1))
        for place in range(PLACES):
            with open(os.path.join(scratch, str(place)), "ab") as file:
                file.write(keys[bounds[place] : bounds[place + 1]].tobytes())
        self._held, self._rows = [], 0

    def twice(self, scratch: str) -> np.ndarray:
        """uint64, sorted: the hashes that occur more than once."""
        if not os.listdir(scratch):
            return _repeated(np.concatenate([*self._held, np.zeros(0, np.uint64)]))
        self._flush(scratch)
        found = [_repeated(np.fromfile(os.path.join(scratch, str(p)), dtype=np.uint64)) for p in range(PLACES)]
        return np.concatenate(found)


def _repeated(keys: np.ndarray) -> np.ndarray:
    keys = np.sort(keys)
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def hashed(tracks: pa.StringArray) -> np.ndarray:
    """uint64 ``[rows]``: a hash of each track that is the same in every process."""
    return np.asarray(pd.util.hash_array(tracks.to_numpy(zero_copy_only=False), categorize=False))


def _names(folder: str, segments: list[Segment], twice: np.ndarray) -> list[str]:
    """The tracks behind hashes that occur twice; two tracks of one hash, far rarer than real repeats, are none."""
    counts: Counter[str] = Counter()
    for segment in segments if len(twice) else ():
        for shard in iter_shards(folder, segment.name):
            tracks = shard.column("track")
            counts.update(tracks.filter(pa.array(np.isin(hashed(tracks), twice))).to_pylist())
    return [track for track, n in counts.items() if n > 1]


def of_table(table: pa.Table) -> Iterator[Rows]:
    """The rows of a manifest table that is in memory (columns track, path, source), as `write` takes them."""
    paths = table.column("path").combine_chunks()
    shown = pa.array([storage.shown(path) for path in paths.to_pylist()], pa.string())
    n = table.num_rows
    columns = {
        "track": table.column("track").combine_chunks(),
        "path": shown,
        "source": table.column("source").combine_chunks(),
        "location": paths,
        **{name: pa.nulls(n, SCHEMA.field(name).type) for name in ("held", "at", "size")},
    }
    for batch in pa.table(columns, schema=SCHEMA).to_batches(max_chunksize=MAX_TOGETHER_ROWS):
        yield Rows(batch)
