"""A folder or bucket prefix: recordings, shards of them, or tables that hold them, at any depth."""

import logging
from collections.abc import Iterator

from synatt import storage
from synatt.audio import AUDIO_SUFFIXES
from synatt.sources import cells, tars
from synatt.sources.rows import BATCH_ROWS, make_rows
from synatt.sources.tables import open_parquet
from synatt.worklist import Rows

log = logging.getLogger("synatt")


def read(folder: str) -> Iterator[Rows]:
    """A row per recording below `folder`, in the order of a walk (`storage.iter_files`), `track` being its path there.

    Tars are read as shards. Only where there is neither recording nor tar, Parquet tables that hold audio are read.

    Raises:
        UsageError: the folder cannot be listed, or a tar is compressed.
    """
    base, found = storage.absolute(folder), False
    names: list[str] = []
    for name in storage.iter_files(folder):
        lower = name.lower()
        if lower.endswith(AUDIO_SUFFIXES):
            names.append(name)
        elif lower.endswith(tars.PACKED_TAR_SUFFIXES):
            raise tars.packed(storage.join(base, name), "compressed")
        is_tar = lower.endswith(tars.TAR_SUFFIX)
        if names and (is_tar or len(names) == BATCH_ROWS):
            yield _loose(base, names)
            names, found = [], True
        if is_tar:
            yield from tars.read(storage.join(base, name), name)
            found = True
    if names:
        yield _loose(base, names)
    elif not found:
        yield from _tables(folder, base)


def _loose(base: str, names: list[str]) -> Rows:
    return make_rows(names, [storage.join(base, name) for name in names])


def _tables(folder: str, base: str) -> Iterator[Rows]:
    for name in storage.iter_files(folder):
        if name.lower().endswith(".parquet"):
            path = storage.join(base, name)
            with open_parquet(path) as file:
                if cells.audio_column(file.schema_arrow):
                    yield from cells.read(file, path, name)
                else:
                    log.warning("%s has no column with audio and is left out", storage.shown(path))
