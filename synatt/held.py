"""The recordings that a shard of the worklist names, opened: loose files, members of tars, cells of Parquet tables."""

import bisect
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synatt import storage
from synatt.audio import (
    AudioCorruptError,
    AudioEmptyFileError,
    AudioError,
    AudioMissingError,
    AudioTruncatedError,
    AudioUnreachableError,
)
from synatt.byterange import ByteRange
from synatt.sources.cells import audio_column
from synatt.storage import StorageError, why
from synatt.storage.filesystems import is_local

# A path or URI, the encoded bytes, a file to seek in, or why there is nothing to decode.
Source: TypeAlias = str | bytes | BinaryIO | AudioError

# A member of a tar or a file in a bucket up to this size is one request, where a decoder would make dozens; of a longer
# one only what is decoded is read, in such pieces.
WHOLE_BYTES, PIECE_BYTES = 4 << 20, 1 << 20
# Cells of a Parquet table that are in memory at a time.
CELLS_BYTES, MAX_CELLS = 16 << 20, 64


class _Place(NamedTuple):
    """A row of the worklist; `at` and `size` are null for a loose file."""

    held: str | None
    location: str
    at: int
    size: int


def opened(shard: pa.RecordBatch) -> Iterator[Source]:
    """What `audio.decode` takes, for each row of a shard (`worklist.SCHEMA`) in order; a local file is its path.

    A container is opened once for all the rows in a run that lie in it. One that cannot be opened or read costs its own
    rows, each an `AudioError`. A source is good until the next one is taken.
    """
    places = map(_Place, *(shard.column(name).to_pylist() for name in _Place._fields))
    for (held, location), group in itertools.groupby(places, key=lambda place: place[:2]):
        run = list(group)
        by_name = held is None and is_local(location)
        yield from [location] * len(run) if by_name else _opened(held, location, run)


@contextmanager
def reading(source: object) -> Iterator[None]:
    """Within it `source` is decoded: if reading it fails, that is what is raised, not what the decoder made of it.

    Raises:
        AudioUnreachableError: reading stopped half way.
    """
    try:
        yield
    finally:
        failure = getattr(getattr(source, "raw", None), "failure", None)
        if failure:
            raise AudioUnreachableError(f"reading stopped: {why(failure)}") from None


def _opened(held: str | None, location: str, run: list[_Place]) -> Iterator[Source]:
    try:
        file: Any = storage.open_input(location)
    except StorageError as err:
        kind = AudioMissingError if str(err).startswith("no such file") else AudioUnreachableError
        yield from (kind(str(err)) for _ in run)
        return
    with file:
        if held == "parquet":
            yield from _cells(file, run)
        elif held == "tar":
            yield from (_part(file, place) for place in run)
        else:
            yield from (_part(file, place._replace(at=0, size=file.size())) for place in run)


def _part(file: Any, place: _Place) -> Source:
    if place.at < 0:
        return AudioCorruptError("the tar is damaged: what follows in it cannot be found")
    if not place.size:
        return AudioEmptyFileError("the file is empty (0 bytes)")
    there = max(0, file.size() - place.at)
    if there < place.size:
        return AudioTruncatedError(f"the tar ends after {there} of the member's {place.size} bytes")
    part = ByteRange(file, place.at, place.size)
    if place.size > WHOLE_BYTES:
        return cast(BinaryIO, io.BufferedReader(part, PIECE_BYTES))
    data = part.read(place.size)
    return data if part.failure is None else AudioUnreachableError(f"reading stopped: {why(part.failure)}")


def _cells(file: Any, run: list[_Place]) -> Iterator[Source]:
    """The cells of a table for places that ascend, each row group's audio read once and a few cells at a time."""
    whole = ByteRange(file, 0, file.size())
    try:
        table = pq.ParquetFile(whole, buffer_size=PIECE_BYTES, pre_buffer=False, page_checksum_verification=True)
        column = audio_column(table.schema_arrow)
    except (pa.ArrowException, OSError) as err:
        yield from [_unread(whole, err, place) for place in run]
        return
    groups = [table.metadata.row_group(i) for i in range(table.num_row_groups)]
    starts = list(itertools.accumulate((group.num_rows for group in groups), initial=0))
    for group, places in itertools.groupby(run, key=lambda place: bisect.bisect_right(starts, place.at) - 1):
        error: Exception | None = None
        whole.failure = None
        cells = _group_cells(table, group, starts[group], column) if column and group < len(groups) else iter(())
        for place in places:
            cell = None
            try:
                cell = next((cell for at, cell in cells if at == place.at), None)
            except (pa.ArrowException, OSError) as err:
                error = err
            if cell is not None:
                yield cell.as_py() or AudioEmptyFileError("the cell is empty")
            else:
                yield _unread(whole, error, place)


def _group_cells(table: pq.ParquetFile, group: int, start: int, column: str) -> Iterator[tuple[int, pa.Scalar]]:
    """(row of the table, cell) for all rows of a row group."""
    about = table.metadata.row_group(group)
    size = next(
        c.total_uncompressed_size for c in map(about.column, range(about.num_columns)) if c.path_in_schema == column
    )
    count = max(1, min(MAX_CELLS, CELLS_BYTES * about.num_rows // max(1, size)))
    for batch in table.iter_batches(count, row_groups=[group], columns=[column], use_threads=False):
        cells = batch.column(0)
        yield from enumerate(pc.struct_field(cells, 0) if pa.types.is_struct(cells.type) else cells, start)
        start += batch.num_rows


def _unread(whole: ByteRange, err: Exception | None, place: _Place) -> AudioError:
    # A table that cannot be read may seem to be damaged, or only to be shorter.
    if whole.failure:
        return AudioUnreachableError(f"reading stopped: {why(whole.failure)}")
    if err:
        return AudioCorruptError(f"the Parquet table is damaged: {why(err)}")
    return AudioMissingError(f"the table has no audio in row {place.at} any more")
