"""Every path the product takes goes through here: a local path or a URI (``s3://``, ``gs://``, ...) over pyarrow.

Paths stay plain strings throughout; `filesystem` is the only place that decides what serves them.
"""

import json
import logging
import os
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from synatt.errors import UsageError

log = logging.getLogger("synatt")


class StorageError(UsageError):
    """A path could not be listed, read or written."""


def is_uri(path: str) -> bool:
    """True for ``scheme://...``; a bare or ``file://``-less local path is not a URI."""
    scheme, sep, _ = path.partition("://")
    return bool(sep) and scheme.replace("+", "").isalnum()


@lru_cache(maxsize=64)
def _remote(root: str) -> pafs.FileSystem:
    scheme = root.partition("://")[0]
    try:
        return pafs.FileSystem.from_uri(root)[0]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        try:
            import fsspec

            return pafs.PyFileSystem(pafs.FSSpecHandler(fsspec.filesystem(scheme)))
        except (ImportError, ValueError):
            raise StorageError(f"{root}: no filesystem serves '{scheme}://' ({err})") from None


def filesystem(path: str | os.PathLike[str]) -> tuple[pafs.FileSystem, str]:
    """The filesystem that serves `path`, and the path as that filesystem spells it."""
    path = os.fspath(path)
    if not is_uri(path):
        return pafs.LocalFileSystem(), str(_expanded(path).absolute())
    if path.startswith("file://"):
        return pafs.LocalFileSystem(), path.removeprefix("file://")
    scheme, _, rest = path.partition("://")
    bucket, _, key = rest.partition("/")
    query = f"?{rest.partition('?')[2]}" if "?" in rest else ""
    # One filesystem per bucket: asking pyarrow again for every key would look the region up every time.
    served = _remote(f"{scheme}://{bucket.partition('?')[0]}{query}")
    return served, f"{bucket}/{key}".partition("?")[0].rstrip("/")


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # '~name' of somebody this machine does not know is a name like any other, as it is for a shell.
        return Path(path)


def join(base: str, *parts: str) -> str:
    """`base` and `parts` with single slashes between them, for local paths and URIs alike."""
    return "/".join([base.rstrip("/"), *(p.strip("/") for p in parts)])


def _why(err: BaseException) -> str:
    return str(err).splitlines()[0].strip() if str(err) else type(err).__name__


def info(path: str) -> pafs.FileInfo:
    """What is at `path`: type, size, time; type ``NotFound`` when nothing is."""
    served, inner = filesystem(path)
    try:
        return served.get_file_info(inner)
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot reach {path}: {_why(err)}") from None


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
        raise StorageError(f"cannot list {folder}: {_why(err)}") from None
    if unnamable is not None:
        unnamable.extend(odd)
    elif odd:
        log.warning("%s: %d file names are not UTF-8 and are left out, first %s", folder, len(odd), odd[0])
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
                if not name.isascii() and (shown := os.fsencode(name).decode("utf-8", "backslashreplace")) != name:
                    odd.append(shown)
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
        raise StorageError(f"cannot list {folder}: {_why(err)}") from None
    return sorted(f.base_name for f in found if f.type == pafs.FileType.Directory)


def open_input(path: str) -> BinaryIO:
    """A seekable binary file to read; only the parts asked for are fetched."""
    served, inner = filesystem(path)
    try:
        return served.open_input_file(inner)
    except FileNotFoundError:
        raise StorageError(f"no such file: {path}") from None
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot read {path}: {_why(err)}") from None


def read_bytes(path: str) -> bytes:
    with open_input(path) as f:
        return f.read()


def read_text(path: str) -> str:
    return read_bytes(path).decode("utf-8-sig")


def read_json(path: str) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as err:
        raise StorageError(f"{path} is not JSON: {_why(err)}") from None


def make_dirs(folder: str) -> None:
    served, inner = filesystem(folder)
    try:
        served.create_dir(inner, recursive=True)
    except (OSError, pa.ArrowException) as err:
        raise StorageError(f"cannot create {folder}: {_why(err)}") from None


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
        raise StorageError(f"cannot write {path}: {_why(err)}") from None


def write_text(path: str, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_table(path: str, table: pa.Table, row_group_rows: int = 131_072) -> None:
    """Write `table` as one Parquet file (zstd), whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=row_group_rows)
    write_bytes(path, sink.getvalue())


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file, or a folder of them, as one table."""
    if is_dir(path):
        return pa.concat_tables([pq.read_table(open_input(p), columns=columns) for p in parquet_files(path)])
    try:
        return pq.read_table(open_input(path), columns=columns)
    except pa.ArrowException as err:
        raise StorageError(f"{path} is not a Parquet table: {_why(err)}") from None


def parquet_files(path: str) -> list[str]:
    """`path` itself when it is a file, else the Parquet files directly below it, sorted."""
    if is_file(path):
        return [path]
    names = [name for name, _ in list_files(path, recursive=False) if name.endswith(".parquet")]
    if not names:
        raise StorageError(f"{path} holds no Parquet file")
    return [join(path, name) for name in names]


def local_copy(folder: str, into: str) -> str:
    """A local folder with the files of `folder`: itself when it is local already, else copied below `into`."""
    if not is_uri(folder):
        return folder
    for name, _ in list_files(folder):
        target = Path(into) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_bytes(join(folder, name)))
    return into


def iter_lines(path: str) -> Iterator[str]:
    yield from read_text(path).splitlines()
