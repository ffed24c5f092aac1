"""Files to read, whole or in parts."""

import json
from typing import Any, BinaryIO

import pyarrow as pa

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import filesystem
from synatt.storage.redaction import shown


def open_input(path: str) -> BinaryIO:
    """A seekable binary file to read; only the parts asked for are fetched."""
    served, inner = filesystem(path)
    try:
        return served.open_input_file(inner)
    except FileNotFoundError:
        raise StorageError(f"no such file: {shown(path)}") from None
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot read {shown(path)}: {why(err)}") from None


def read_bytes(path: str) -> bytes:
    with open_input(path) as f:
        return f.read()


def read_text(path: str) -> str:
    return read_bytes(path).decode("utf-8-sig")


def read_json(path: str) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as err:
        raise StorageError(f"{shown(path)} is not JSON: {why(err)}") from None
