"""What serves a path: a local one or a URI (``s3://``, ``gs://``, ...) over pyarrow."""

import os
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage.failures import StorageError
from synatt.storage.redaction import redact, shown


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
            raise StorageError(f"{shown(root)}: no filesystem serves '{scheme}://' ({redact(str(err))})") from None


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
