"""Storage as a pyarrow filesystem, for libraries that read and write by one: with the same patience, whole files only,
and no folder objects in buckets.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage import moving, patience
from synatt.storage.filesystems import ask, join, parted, without_credentials
from synatt.storage.listing import info, is_file, listed
from synatt.storage.reading import open_input
from synatt.storage.writing import open_output


def as_filesystem(folder: str, pickle_credentials: bool = False) -> tuple[pafs.FileSystem, str]:
    """A filesystem that holds `folder`, and the path of `folder` in it: its last name.

    Args:
        folder: below a bucket or another folder.
        pickle_credentials: whether those that stand in the URI travel with a pickled copy. Without, the copy connects
            with those of the environment that it is read in.
    """
    base, name = parted(folder)
    return pafs.PyFileSystem(StorageHandler(base, pickle_credentials)), name


class StorageHandler(pafs.FileSystemHandler):
    """The files below `base`; paths are relative to it.

    Pickled it is the name of the place, which is connected to anew: pyarrow's own filesystems would take the keys
    along, and what is pickled may end in a file.
    """

    def __init__(self, base: str, pickle_credentials: bool) -> None:
        self._base, self._open = base, pickle_credentials

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_a_run, (self._base if self._open else without_credentials(self._base), self._open)

    def __deepcopy__(self, memo: Any) -> "StorageHandler":
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageHandler) and self._base == other._base

    def __hash__(self) -> int:
        return hash(self._base)

    def _at(self, path: str) -> str:
        return join(self._base, path) if path.strip("/") else self._base

    def get_type_name(self) -> str:
        return "synatt"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        return [_renamed(info(self._at(path)), path) for path in paths]

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        asked = selector.base_dir

        def below(served: pafs.FileSystem, inner: str) -> list[pafs.FileInfo]:
            prefix = inner.strip("/") + "/"
            found = listed(served, inner, selector.recursive)
            return [_renamed(f, os.path.join(asked, f.path.lstrip("/").removeprefix(prefix))) for f in found]

        at = self._at(asked)
        if info(at).type == pafs.FileType.NotFound:
            if selector.allow_not_found:
                return []
            raise FileNotFoundError(asked)
        return ask("list", at, below)

    def create_dir(self, path: str, recursive: bool) -> None:
        moving.make_dirs(self._at(path))

    def delete_dir(self, path: str) -> None:
        moving.delete_dir(self._at(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        moving.delete_dir(self._at(path))
        moving.make_dirs(self._at(path))

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("nobody means to delete all there is")

    def delete_file(self, path: str) -> None:
        moving.delete_file(self._at(path))

    def move(self, src: str, dest: str) -> None:
        work = moving.move if is_file(self._at(src)) else moving.move_dir
        work(self._at(src), self._at(dest))

    def copy_file(self, src: str, dest: str) -> None:
        with open_input(self._at(src)) as file, open_output(self._at(dest)) as out:
            while part := file.read(1 << 24):
                out.write(part)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        if not is_file(self._at(path)):
            raise FileNotFoundError(path)
        return pa.PythonFile(open_input(self._at(path)), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return pa.PythonFile(_Outgoing(self._at(path)), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError("objects of a bucket cannot be appended to")


def _in_a_run(base: str, pickle_credentials: bool) -> StorageHandler:
    # Who is sent a filesystem works in the middle of a run.
    patience.set_patience(patience.RUN_PATIENCE_S)
    return StorageHandler(base, pickle_credentials)


def _renamed(found: pafs.FileInfo, path: str) -> pafs.FileInfo:
    return pafs.FileInfo(path, found.type, size=found.size, mtime_ns=found.mtime_ns)


class _Outgoing:
    """A file to write that is seen once it is closed, and never when it is dropped."""

    def __init__(self, path: str) -> None:
        self._writing = open_output(path)
        self._file = self._writing.__enter__()
        self.closed = False

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        """Nothing is sent before the end."""

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with _one_thread_more():
                self._writing.__exit__(None, None, None)


_waiting, _own_threads = 0, 0
_counting = threading.Lock()


@contextmanager
def _one_thread_more() -> Iterator[None]:
    """Give pyarrow's pool for input and output another thread for the one that waits here.

    A folder is copied file by file in that pool, and uploads send their parts in it too: eight files at once would
    wait for ever for a thread to send with.
    """
    _count(+1)
    try:
        yield
    finally:
        _count(-1)


def _count(more: int) -> None:
    global _waiting, _own_threads  # noqa: PLW0603
    with _counting:
        if not _waiting:
            _own_threads = pa.io_thread_count()
        _waiting += more
        pa.set_io_thread_count(_own_threads + _waiting)
