"""What is there: one path, or all files below a folder."""

import logging
import os

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage.failures import StorageError, why
from synatt.storage.filesystems import filesystem
from synatt.storage.redaction import shown

log = logging.getLogger("synatt")


def info(path: str) -> pafs.FileInfo:
    """What is at `path`: type, size, time; type ``NotFound`` when nothing is."""
    served, inner = filesystem(path)
    try:
        return served.get_file_info(inner)
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot reach {shown(path)}: {why(err)}") from None


def is_file(path: str) -> bool:
    return info(path).type == pafs.FileType.File


def is_dir(path: str) -> bool:
    return info(path).type == pafs.FileType.Directory


def exists(path: str) -> bool:
    return info(path).type != pafs.FileType.NotFound


def list_files(folder: str, recursive: bool = True, unnamable: list[str] | None = None) -> list[tuple[str, int]]:
    """Sorted ``(path relative to folder, size in bytes)`` of every file below `folder`, hidden ones left out.

    A local file whose name is not UTF-8 has no place in any table: it is left out, and its escaped name is appended
    to `unnamable`, or logged when that is not given.
    """
    served, inner = filesystem(folder)
    odd: list[str] = []
    try:
        if isinstance(served, pafs.LocalFileSystem):
            rows = _walk(inner, recursive, odd)
        else:
            found = served.get_file_info(pafs.FileSelector(inner, recursive=recursive))
            # Some filesystems spell listed paths with a leading slash, whatever they were asked for.
            prefix = inner.strip("/") + "/"
            rows = [(f.path.lstrip("/").removeprefix(prefix), f.size) for f in found if f.type == pafs.FileType.File]
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot list {shown(folder)}: {why(err)}") from None
    if unnamable is not None:
        unnamable.extend(odd)
    elif odd:
        log.warning("%s: %d file names are not UTF-8 and are left out, first %s", shown(folder), len(odd), odd[0])
    return sorted((p, s) for p, s in rows if not any(part.startswith(".") for part in p.split("/")))


def _walk(root: str, recursive: bool, odd: list[str]) -> list[tuple[str, int]]:
    # pyarrow's own listing fails as a whole on one name that is not UTF-8.
    rows: list[tuple[str, int]] = []
    pending: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(root),))]
    while pending:
        below, above = pending.pop()
        with os.scandir(os.path.join(root, below)) as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                if not name.isascii() and (escaped := os.fsencode(name).decode("utf-8", "backslashreplace")) != name:
                    odd.append(escaped)
                elif entry.is_file():
                    rows.append((name, entry.stat().st_size))
                elif recursive and entry.is_dir() and not entry.name.startswith("."):
                    # A link to one of the folders it lies in would never end.
                    real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
                    if real not in above:
                        pending.append((name, (*above, real)))
    return rows


def list_dirs(folder: str) -> list[str]:
    """Sorted names of the folders directly below `folder`."""
    served, inner = filesystem(folder)
    try:
        found = served.get_file_info(pafs.FileSelector(inner))
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot list {shown(folder)}: {why(err)}") from None
    return sorted(f.base_name for f in found if f.type == pafs.FileType.Directory)
