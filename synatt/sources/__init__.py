"""What `predict` may be given, each kind as a stream of rows: whatever its size, a few batches are in memory."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow.fs as pafs

from synatt import storage
from synatt.audio import AUDIO_SUFFIXES
from synatt.errors import UsageError
from synatt.manifest import MANIFEST_SUFFIXES
from synatt.sources import cells, folders, lists, tables, tars
from synatt.sources.rows import file_name, make_rows
from synatt.worklist import Rows

__all__ = ["read_rows"]

_KINDS = (
    f"a manifest ({', '.join(MANIFEST_SUFFIXES)}), a Parquet table with audio in it, a list of paths "
    f"({', '.join(lists.LIST_SUFFIXES)}), a {tars.TAR_SUFFIX}, a recording, or a folder of these"
)

_Read = partial[Iterator[Rows]]


def read_rows(paths: Sequence[str]) -> Iterator[Rows]:
    """The rows of all inputs, one input after the other, each time in the same order; no audio is read.

    An input is a manifest, a Parquet table with audio in it, a list of paths, a tar, a recording, or a folder or bucket
    prefix of recordings, tars or such tables; a folder that holds `manifest.parquet` is that manifest. Whether a
    track stands twice is not checked here.

    Raises:
        UsageError: at once, when an input is missing or of no such kind; during the reading, when one cannot be read
            or, unless it is a table, has no row.
    """
    if not paths:
        raise UsageError("nothing to read: give --input PATH")
    return _all([(path, _reader(path)) for path in paths])


def _all(inputs: list[tuple[str, _Read]]) -> Iterator[Rows]:
    for path, read in inputs:
        count = 0
        for rows in read():
            count += rows.batch.num_rows
            yield rows
        # A table without rows is an empty job; anything else without a recording is a mistake.
        if not count and read.func not in (tables.read, _parquet):
            raise UsageError(f"no recording in {storage.shown(path)}; an input is {_KINDS}")


def _reader(path: str) -> _Read:
    kind = storage.info(path).type
    if kind == pafs.FileType.NotFound:
        raise UsageError(f"no such file or folder: {storage.shown(path)}")
    if kind == pafs.FileType.Directory:
        held = storage.join(path, "manifest.parquet")
        return partial(_parquet, held) if storage.is_file(held) else partial(folders.read, path)
    name = file_name(path).lower()
    if name.endswith(tars.PACKED_TAR_SUFFIXES):
        raise tars.packed(path, "compressed")
    readers: dict[tuple[str, ...], Callable[[str], Iterator[Rows]]] = {
        (".parquet",): _parquet,
        MANIFEST_SUFFIXES: tables.read,
        lists.LIST_SUFFIXES: lists.read,
        (tars.TAR_SUFFIX,): tars.read,
        AUDIO_SUFFIXES: _single,
    }
    for suffixes, read in readers.items():
        if name.endswith(suffixes):
            return partial(read, path)
    raise UsageError(f"{storage.shown(path)} cannot be an input, which is {_KINDS}")


def _single(path: str) -> Iterator[Rows]:
    yield make_rows([file_name(path)], [storage.absolute(path)])


def _parquet(path: str) -> Iterator[Rows]:
    with tables.open_parquet(path) as file:
        if cells.audio_column(file.schema_arrow):
            yield from cells.read(file, path)
            return
    yield from tables.read(path)
