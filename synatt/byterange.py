"""A part of a file as a file of its own."""

import io
from typing import Any

from synatt.storage import StorageError


class ByteRange(io.RawIOBase):
    """`size` bytes from `start` on of a file that `storage.open_input` gave; only what is asked for is read.

    Several may share one file: each has its own place in it. A range ends where the file ends, if that is earlier.
    It is read from C, through which no exception passes: where reading fails it seems to end, and `failure` says why.
    """

    def __init__(self, file: Any, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        try:
            data = self._file.read_at(count, self._start + self._at) if count else b""
        except (OSError, StorageError) as err:
            self.failure, data = err, b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
