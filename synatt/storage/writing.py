"""Files to write, whole or not at all."""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import ask, failed, filesystem, is_local
from synatt.storage.redaction import shown


@contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """A binary file to write to, which others see at `path` once the block ends, whole; after an exception, never.

    A local file is written beside its place and renamed. What goes to remote storage is gathered in the folder for
    temporary files (``TMPDIR``) and sent at the end: an upload is nothing that could be taken back, as closing it
    publishes what has been sent so far, and after an outage it has to start again.

    Raises:
        StorageError: it cannot be written.
    """
    if is_local(path):
        with _beside(path) as file:
            yield file
        return
    with _gathered(path) as file:
        yield file
        file.flush()
        ask("write", path, lambda served, inner: _send(file.name, os.path.getsize(file.name), served, inner))


@contextmanager
def _beside(path: str) -> Iterator[BinaryIO]:
    target = filesystem(path)[1]
    folder, name = os.path.split(target)
    # Hidden, so that no listing has it, should the process be killed.
    unfinished = os.path.join(folder, f".{name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except OSError as err:
        raise failed("write", path, err) from None
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)


@contextmanager
def _gathered(path: str) -> Iterator[Any]:
    try:
        with tempfile.NamedTemporaryFile(prefix="synatt-") as file:
            yield file
    except OSError as err:
        raise StorageError(
            f"cannot write {shown(path)}: {why(err)} (gathering it in {tempfile.gettempdir()})"
        ) from None


def _send(file: str, size: int, served: pafs.FileSystem, inner: str) -> None:
    # One call, in which no Python exception can end the upload early.
    pafs.copy_files(file, inner, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=served)
    arrived = served.get_file_info(inner).size
    if arrived != size:
        raise ConnectionError(f"the answer was cut: {arrived} of {size} bytes have arrived")


def write_bytes(path: str, data: bytes) -> None:
    """Write `data` so that a reader sees the whole file or none of it."""
    with open_output(path) as file:
        file.write(data)


def write_text(path: str, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
