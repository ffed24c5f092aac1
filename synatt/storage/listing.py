"""What is there: one path, or all files below a folder."""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow.fs as pafs

from synatt.storage.failures import StorageError
from synatt.storage.filesystems import ask, filesystem, has_only_objects, is_local, join
from synatt.storage.redaction import shown

log = logging.getLogger("synatt")


def info(path: str) -> pafs.FileInfo:
    """What is at `path`: type, size, time; type ``NotFound`` when nothing is."""
    return ask("reach", path, lambda served, inner: served.get_file_info(inner))


def is_file(path: str) -> bool:
    return info(path).type == pafs.FileType.File


def is_dir(path: str) -> bool:
    return info(path).type == pafs.FileType.Directory


def exists(path: str) -> bool:
    return info(path).type != pafs.FileType.NotFound


def versions(paths: Sequence[str]) -> list[tuple[int, int] | None]:
    """(size in bytes, time of the last change in ns) of every file; None where there is none.

    A file that was replaced has another pair, as far as its storage tells.
    """
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            at = info(path)
        except StorageError:
            # Whoever reads the file will say why that cannot be done.
            found.append(None)
            continue
        found.append((at.size, at.mtime_ns or 0) if at.type == pafs.FileType.File else None)
    return found


def list_files(folder: str, recursive: bool = True, unnamable: list[str] | None = None) -> list[tuple[str, int]]:
    """Sorted ``(path relative to folder, size in bytes)`` of every file below `folder`, hidden ones left out.

    A local file whose name is not UTF-8 has no place in any table: it is left out, and its escaped name is appended
    to `unnamable`, or logged when that is not given.
    """
    inner = filesystem(folder)[1]
    if is_local(folder):
        names = list(iter_files(folder, recursive, unnamable))
        return sorted((name, os.stat(os.path.join(inner, name)).st_size) for name in names)
    found = ask("list", folder, lambda served, inner: listed(served, inner, recursive))
    # Some filesystems spell listed paths with a leading slash, whatever they were asked for.
    prefix = inner.strip("/") + "/"
    rows = [(f.path.lstrip("/").removeprefix(prefix), f.size) for f in found if f.type == pafs.FileType.File]
    return sorted((p, s) for p, s in rows if not any(part.startswith(".") for part in p.split("/")))


def iter_files(folder: str, recursive: bool = True, unnamable: list[str] | None = None) -> Iterator[str]:
    """Path relative to `folder` of every file that `list_files` has, as they are found: the files of a folder sorted,
    then its sub-folders in turn.

    Never the whole listing is held, only that of single folders: memory is bounded by the largest ones. Some
    are asked for ahead of their turn, or a bucket of many small folders would be listed one request at a time.
    """

    scan_one = _scan_local if is_local(folder) else _scan_bucket

    def scan(place: _Place) -> _Found:
        path = join(folder, place.below) if place.below else folder
        return ask("list", path, lambda served, inner: scan_one(served, inner, place))

    first_odd, odd = "", 0
    with ThreadPoolExecutor(LISTED_AHEAD) as pool:
        pending = [_Place("", (os.path.realpath(filesystem(folder)[1]),))]
        ahead: dict[_Place, Future[_Found]] = {}
        while pending:
            ahead.update({p: pool.submit(scan, p) for p in pending[-LISTED_AHEAD:] if p not in ahead})
            found = ahead.pop(pending.pop()).result()
            yield from found.files
            if unnamable is not None:
                unnamable.extend(found.odd)
            first_odd, odd = first_odd or next(iter(found.odd), ""), odd + len(found.odd)
            if recursive:
                pending.extend(reversed(found.folders))
    if odd and unnamable is None:
        log.warning("%s: %d file names are not UTF-8 and are left out, first %s", shown(folder), odd, first_odd)


LISTED_AHEAD = 8


class _Place(NamedTuple):
    """A folder to list: its path below the root, and for a local one the real paths of itself and all above it."""

    below: str
    above: tuple[str, ...]

    def name(self, child: str) -> str:
        return f"{self.below}/{child}" if self.below else child


class _Found(NamedTuple):
    files: list[str]
    folders: list[_Place]
    odd: list[str]


def listed(served: pafs.FileSystem, folder: str, recursive: bool) -> list[pafs.FileInfo]:
    try:
        return served.get_file_info(pafs.FileSelector(folder, recursive=recursive))
    except FileNotFoundError:
        if not has_only_objects(served):
            raise
        # Every folder of a bucket is there: those that hold nothing yet, too.
        return []


def _scan_bucket(served: pafs.FileSystem, folder: str, place: _Place) -> _Found:
    entries = listed(served, folder, recursive=False)
    seen = sorted((e.base_name, e.type) for e in entries if not e.base_name.startswith("."))
    files = [place.name(name) for name, kind in seen if kind == pafs.FileType.File]
    folders = [_Place(place.name(name), ()) for name, kind in seen if kind == pafs.FileType.Directory]
    return _Found(files, folders, [])


def _scan_local(_: pafs.FileSystem, folder: str, place: _Place) -> _Found:
    # pyarrow's own listing fails as a whole on one name that is not UTF-8.
    files, folders, odd = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = place.name(entry.name)
            if not name.isascii() and (escaped := os.fsencode(name).decode("utf-8", "backslashreplace")) != name:
                odd.append(escaped)
            elif entry.name.startswith("."):
                continue
            elif entry.is_file():
                files.append(name)
            elif entry.is_dir():
                # A link to one of the folders it lies in would never end.
                real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(place.above[-1], entry.name)
                if real not in place.above:
                    folders.append(_Place(name, (*place.above, real)))
    return _Found(sorted(files), sorted(folders), odd)


def list_dirs(folder: str) -> list[str]:
    """Sorted names of the folders directly below `folder`."""
    found = ask("list", folder, lambda served, inner: listed(served, inner, recursive=False))
    return sorted(f.base_name for f in found if f.type == pafs.FileType.Directory)
