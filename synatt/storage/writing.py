"""Files to write, whole or not at all; folders to make and delete."""

import json
import os
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import filesystem
from synatt.storage.redaction import shown


def make_dirs(folder: str) -> None:
    served, inner = filesystem(folder)
    try:
        served.create_dir(inner, recursive=True)
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot create {shown(folder)}: {why(err)}") from None


def delete_dir(folder: str) -> None:
    """Delete `folder` and all below it; nothing happens when it is not there."""
    served, inner = filesystem(folder)
    if served.get_file_info(inner).type == pafs.FileType.Directory:
        served.delete_dir(inner)


def delete_file(path: str) -> None:
    served, inner = filesystem(path)
    if served.get_file_info(inner).type == pafs.FileType.File:
        served.delete_file(inner)


def write_bytes(path: str, data: bytes) -> None:
    """Write `data` so that a reader sees the whole file or none of it.

    An object store publishes a key only once its upload is complete; elsewhere a temporary name is renamed.
    """
    served, inner = filesystem(path)
    local = isinstance(served, pafs.LocalFileSystem)
    target = f"{inner}.{uuid.uuid4().hex[:8]}.tmp" if local else inner
    try:
        if local:
            os.makedirs(os.path.dirname(inner), exist_ok=True)
        with served.open_output_stream(target) as out:
            out.write(data)
        if local:
            os.replace(target, inner)
    except (OSError, pa.ArrowException) as err:
        if local and os.path.exists(target):
            os.unlink(target)
        raise StorageError(f"cannot write {shown(path)}: {why(err)}") from None


def write_text(path: str, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
