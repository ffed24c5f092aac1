"""Label tables: CSV as people really save it (BOM, CRLF, quotes, an index column in front)."""

import io
import re
from collections.abc import Sequence

import pandas as pd

from synatt import storage
from synatt.errors import UsageError


class TableError(UsageError):
    """A label table or protocol file cannot be read or lacks a column."""


def read_text(path: str) -> str:
    """The text of a UTF-8 file, without its byte order mark.

    Raises:
        TableError: the bytes are not UTF-8.
    """
    try:
        return storage.read_text(path)
    except UnicodeDecodeError as err:
        raise TableError(f"{path} is not UTF-8 text (byte {err.start}); save it as UTF-8") from None


def parse_csv(text: str, path: str) -> pd.DataFrame:
    """Every cell as text, exactly as written; only column names lose the blanks around them.

    A table whose rows are one cell longer than its header has an index column without a name; it is left out when
    it holds nothing but numbers.

    Raises:
        TableError: the text is empty or not a table.
    """
    try:
        table = pd.read_csv(io.StringIO(text), dtype="object", keep_default_na=False, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as err:
        raise TableError(f"{path} is not a readable CSV: {' '.join(str(err).split())}") from None
    if not isinstance(table.index, pd.RangeIndex):
        if table.index.nlevels > 1 or not all(re.fullmatch(r"-?\d+", str(i)) for i in table.index):
            raise TableError(f"{path}: rows have more cells than the header ({', '.join(table.columns)})")
        table = table.reset_index(drop=True)
    return table.fillna("").rename(columns=lambda name: str(name).strip())


def read_csv(path: str, required: Sequence[str]) -> pd.DataFrame:
    """The table at `path`, all columns, cells as text.

    Raises:
        TableError: it cannot be read, or one of `required` is not among its columns.
    """
    table = parse_csv(read_text(path), path)
    missing = [name for name in required if name not in table.columns]
    if missing:
        found = ", ".join(c for c in table.columns if not c.startswith("Unnamed: ")) or "none"
        raise TableError(f"{path} has no column {', '.join(map(repr, missing))}; it has {found}")
    return table


def header(path: str, head_bytes: int = 65_536) -> list[str]:
    """Column names in the first line of the CSV at `path`, reading no more than its head; [] when there is none."""
    with storage.open_input(path) as file:
        first = re.split(rb"\r\n|\n|\r", file.read(head_bytes), maxsplit=1)[0]
    try:
        text = first.decode("utf-8-sig")
        return [str(name).strip() for name in pd.read_csv(io.StringIO(text), nrows=0).columns]
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        return []


def lines(text: str) -> list[str]:
    """Lines of `text`, ended by LF, CRLF or CR only (`str.splitlines` also breaks names at rarer characters)."""
    rows = re.split(r"\r\n|\n|\r", text)
    return rows[:-1] if rows and not rows[-1] else rows
