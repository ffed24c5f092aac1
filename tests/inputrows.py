"""What the tests of sources share: rows as dictionaries, tables and tars made by hand."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from synatt.errors import UsageError
from synatt.sources import read_rows
from synatt.worklist import SCHEMA


def rows_of(*paths: object) -> list[dict[str, Any]]:
    """All rows, their batches checked against the schema."""
    rows: list[dict[str, Any]] = []
    for part in read_rows([str(path) for path in paths]):
        assert part.batch.schema.equals(SCHEMA)
        assert part.batch.num_rows
        rows += part.batch.to_pylist()
    assert not any(row[name] is None for row in rows for name in ("track", "path", "location"))
    return rows


def tracks_of(*paths: object) -> list[str]:
    return [row["track"] for row in rows_of(*paths)]


def refused(*paths: object) -> str:
    """The one line with which the inputs are refused."""
    with pytest.raises(UsageError) as caught:
        rows_of(*paths)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
