"""Files to read, whole or in parts."""

import io
import json
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import ask, is_local
from synatt.storage.redaction import shown


def open_input(path: str) -> BinaryIO:
    """A seekable binary file to read; only the parts asked for are fetched.

    Besides what every file has there are `size()` and `read_at(nbytes, offset)`, as on pyarrow's own.
    """
    return cast(BinaryIO, _open(path) if is_local(path) else RemoteFile(path))


def _open(path: str) -> pa.NativeFile:
    return ask("read", path, lambda served, inner: served.open_input_file(inner))


class RemoteFile(io.RawIOBase):
    """A file on remote storage whose reads outlast an outage.

    Raises:
        StorageError: it cannot be read, or is no longer what was opened.
    """

    def __init__(self, path: str) -> None:
        self._path, self._at = path, 0
        self._file: pa.NativeFile | None = _open(path)
        self._size, self._version = self._file.size(), _version(self._file)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        data = self.read_at(self._size if size is None or size < 0 else size, self._at)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read_at(self, nbytes: int, offset: int) -> bytes:
        """The `nbytes` from `offset` on, fewer where the file ends; the place that `read` goes on from stays."""
        if self.closed:
            raise ValueError(f"{shown(self._path)} is closed")
        count = max(0, min(nbytes, self._size - offset))
        return ask("read", self._path, lambda served, inner: self._part(served, inner, count, offset)) if count else b""

    def _part(self, served: pafs.FileSystem, inner: str, count: int, offset: int) -> bytes:
        file = self._file or self._opened_again(served, inner)
        self._file = None
        data = file.read_at(count, offset)
        if len(data) < count:
            raise ConnectionError(f"the answer was cut after {len(data)} of {count} bytes")
        # Only one that has answered is used again.
        self._file = file
        return data

    def _opened_again(self, served: pafs.FileSystem, inner: str) -> pa.NativeFile:
        file = served.open_input_file(inner)
        if _version(file) != self._version:
            raise StorageError(f"{shown(self._path)} was replaced while it was read: run again")
        return file


def _version(file: pa.NativeFile) -> tuple[Any, ...]:
    known = file.metadata() or {}
    return file.size(), known.get("ETag"), known.get("Last-Modified")


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
