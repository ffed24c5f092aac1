"""A text file with one path or URI per line."""

import io
import itertools
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa

from synatt import storage
from synatt.errors import UsageError
from synatt.sources.rows import BATCH_ROWS, file_name, make_rows, shown_paths
from synatt.worklist import Rows

READ_BYTES = 1 << 20
LIST_SUFFIXES = (".txt", ".lst")


def read(path: str) -> Iterator[Rows]:
    """A row per line, `track` being the line without its secrets; blank lines and lines that start with # are skipped.

    A line that is neither a URI nor an absolute path is relative to the folder of the list.

    Raises:
        UsageError: the list is not UTF-8 text, or cannot be read.
    """
    # What stands behind the name of the list are a URI's options, which hold for its neighbours too.
    before, _, options = storage.absolute(path).rpartition("/" + file_name(path))
    folder = before + options
    lines = _lines(path)
    while batch := list(itertools.islice(lines, BATCH_ROWS)):
        yield make_rows(shown_paths(pa.array(batch, pa.string())), [_location(folder, line) for line in batch])


def _location(folder: str, line: str) -> str:
    return line if storage.is_uri(line) or line.startswith("/") else storage.join(folder, line)


def _lines(path: str) -> Iterator[str]:
    # Lines end in a line feed only: a name may hold whatever else Unicode calls a line break.
    with storage.open_input(path) as file:
        text = io.TextIOWrapper(io.BufferedReader(cast(Any, file), READ_BYTES), encoding="utf-8-sig", newline="\n")
        try:
            for line in text:
                name = line.removesuffix("\n").removesuffix("\r")
                if name.strip() and not name.lstrip().startswith("#"):
                    yield name
        except UnicodeDecodeError as err:
            raise UsageError(f"{storage.shown(path)} is not UTF-8 text: {err.reason}") from None
