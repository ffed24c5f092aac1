"""Folders to make, files and folders to move and delete."""

import logging
import os
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow.fs as pafs

from synatt.storage import s3
from synatt.storage.failures import StorageError
from synatt.storage.filesystems import ask, failed, filesystem, has_only_objects, is_local, join, s3_store
from synatt.storage.listing import is_dir, is_file, listed
from synatt.storage.redaction import shown
from synatt.storage.writing import write_bytes

log = logging.getLogger("synatt")

# Objects are copied and deleted one a request; many requests at once are throttled.
AT_ONCE = 16


def make_dirs(folder: str) -> None:
    """Make `folder` and those above it; on an object store, whose names need none, nothing happens."""

    def make(served: pafs.FileSystem, inner: str) -> None:
        if not has_only_objects(served):
            served.create_dir(inner, recursive=True)

    ask("create", folder, make)


def check_writable(folder: str) -> None:
    """Write a small file into `folder` and delete it again, before hours are spent on what will go there.

    Raises:
        StorageError: that is not possible.
    """
    probe = join(folder, f".writable-{uuid.uuid4().hex[:8]}")
    try:
        write_bytes(probe, b"")
        delete_file(probe)
    except StorageError as err:
        raise StorageError(str(err).replace(shown(probe), shown(folder))) from None


def move(src: str, dst: str) -> None:
    """Move a file, replacing what is at `dst`: a rename on a disk, a copy and a delete within an object store.

    Both must be on the same storage. An object store copies files of up to 5 GB.
    """
    _move(src, dst, _move_object)


def move_dir(src: str, dst: str) -> None:
    """Move a folder, hidden files and all, to where none is yet.

    An object store moves file by file: after a stop in the middle the same call moves the rest.
    """
    _move(src, dst, _move_objects)


def delete_file(path: str) -> None:
    """Delete the file at `path`; nothing happens when it is not there."""
    if is_file(path):
        _delete(path)


def delete_dir(folder: str) -> None:
    """Delete `folder` and all below it; nothing happens when it is not there."""
    if not is_dir(folder):
        return
    if not _without_markers(folder):
        ask("delete", folder, lambda served, inner: served.delete_dir(inner))
        return
    _for_all(_below(folder, pafs.FileType.File), lambda name: _delete(join(folder, name)))
    # Folders that are still there are empty objects 'folder/', which other programs leave.
    for name in reversed(_below(folder, pafs.FileType.Directory)):
        _delete(join(folder, name), slash="/")
    if "/" in filesystem(folder)[1]:
        # Not the bucket itself.
        _delete(folder, slash="/")


def discard(folder: str) -> None:
    """Delete `folder`, which nobody needs any more; what cannot be deleted is named, and costs nothing else.

    Somebody may still be writing there (a record on its way when its program was killed): it is tried twice.
    """
    try:
        delete_dir(folder)
    except StorageError:
        try:
            delete_dir(folder)
        except StorageError as err:
            log.warning("left behind, and of no use: %s (%s)", shown(folder), err)


def _move(src: str, dst: str, move_objects: Callable[[str, str], None]) -> None:
    if is_local(src) != is_local(dst) or (not is_local(src) and src.partition("://")[0] != dst.partition("://")[0]):
        raise StorageError(f"cannot move {shown(src)} to {shown(dst)}: they are on different storages")
    if is_local(src):
        _rename(src, dst)
    elif has_only_objects(filesystem(src)[0]):
        move_objects(src, dst)
    else:
        ask("move", src, lambda served, inner: served.move(inner, filesystem(dst)[1]))


def _rename(src: str, dst: str) -> None:
    target = filesystem(dst)[1].rstrip("/")
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(filesystem(src)[1], target)
    except OSError as err:
        raise failed("move", src, err) from None


def _move_object(src: str, dst: str) -> None:
    ask("move", src, lambda served, inner: served.copy_file(inner, filesystem(dst)[1]))
    _delete(src)


def _move_objects(src: str, dst: str) -> None:
    names = _below(src, pafs.FileType.File)
    if not names:
        raise StorageError(f"cannot move {shown(src)}: no such folder")
    _for_all(names, lambda name: _move_object(join(src, name), join(dst, name)))


def _for_all(names: Iterable[str], work: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(work, names):
            pass


def _below(folder: str, kind: pafs.FileType) -> list[str]:
    def names(served: pafs.FileSystem, inner: str) -> list[str]:
        found = listed(served, inner, recursive=True)
        return sorted(f.path.removeprefix(f"{inner}/") for f in found if f.type == kind)

    return ask("list", folder, names)


def _without_markers(path: str) -> bool:
    return path.startswith("s3://") and s3.can_delete(s3_store(path))


def _delete(path: str, slash: str = "") -> None:
    def delete(served: pafs.FileSystem, inner: str) -> None:
        if _without_markers(path):
            s3.delete(s3_store(path), inner + slash)
        elif served.get_file_info(inner).type == pafs.FileType.File:
            # Asked again each time: a delete whose answer was lost has been done.
            served.delete_file(inner)

    ask("delete", path, delete)
