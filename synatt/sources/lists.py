"""A text file with one path or URI per line."""

import io
import itertools
from collections.abc import Iterator

import pyarrow as pa

from synatt import storage
from synatt.errors import UsageError
from synatt.sources.rows import BATCH_ROWS, make_rows, shown_paths
from synatt.worklist import Rows

LIST_SUFFIXES = (".txt", ".lst")


def read(path: str) -> Iterator[Rows]:
    """A row per line, `track` being the line without its secrets; blank lines and lines that start with # are skipped.

    A line that is neither a URI nor an absolute path is relative to the folder of the list.

    Raises:
        UsageError: the list is not UTF-8 text, or cannot be read.
    """
    folder = storage.absolute(path).rpartition("/")[0]
    lines = _lines(path)
    while batch := list(itertools.islice(lines, BATCH_ROWS)):
        yield make_rows(shown_paths(pa.array(batch, pa.string())), [_location(folder, line) for line in batch])


def _location(folder: str, line: str) -> str:
    return line if storage.is_uri(line) or line.startswith("/") else storage.join(folder, line)


def _lines(path: str) -> Iterator[str]:
    # Lines end in a line feed only: a name may hold whatever else Unicode calls a line break.
    with storage.open_input(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
        try:
            for line in text:
                name = line.removesuffix("\n").removesuffix("\r")
                if name.strip() and not name.lstrip().startswith("#"):
                    yield name
        except UnicodeDecodeError as err:
            raise UsageError(f"{storage.shown(path)} is not UTF-8 text: {err.reason}") from None
