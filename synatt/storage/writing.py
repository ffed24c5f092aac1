"""Files to write, whole or not at all."""

import json
import mmap
import os
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import ask, failed, filesystem, is_local
from synatt.storage.redaction import shown

# An upload holds no more than a few times this in memory.
PART_BYTES = 32 << 20


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
        ask("write", path, partial(_upload, file.name))


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


def _upload(file: str, served: pafs.FileSystem, inner: str) -> None:
    # An exception that the main thread gets between two lines (Ctrl-C, a cancelled task) would drop the stream, and a
    # stream that is dropped publishes what it was given. No other thread gets any.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_send, file, served, inner).result()


def _send(path: str, served: pafs.FileSystem, inner: str) -> None:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        out = served.open_output_stream(inner)
        try:
            # Mapped, for then no failure to read it can end the upload early, part by part to hold no more in memory.
            for start in range(0, size, PART_BYTES):
                count = min(PART_BYTES, size - start)
                with mmap.mmap(file.fileno(), count, offset=start, access=mmap.ACCESS_READ) as part:
                    out.write(part)
                    # Returns once all of it has arrived, or raises what the upload then ends with.
                    out.flush()
        finally:
            out.close()
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
