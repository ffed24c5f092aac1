"""What serves a path: a local one or a URI (``s3://``, ``gs://``, ...) over pyarrow."""

import os
import re
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from synatt.storage import s3
from synatt.storage.failures import FAILURES, Kind, Reason, StorageError, why
from synatt.storage.patience import patiently
from synatt.storage.redaction import redact, shown

T = TypeVar("T")

# Names of objects may hold '?': options are what looks like them, at the end.
_OPTIONS = re.compile(r"\?(\w+=[^?]*)$")
_MISSING = {"read": "no such file", "list": "no such folder"}


class _Uri(NamedTuple):
    """``scheme://user@host/key?options``; for S3 the host is the bucket."""

    scheme: str
    user: str
    host: str
    key: str
    options: str


def is_uri(path: str) -> bool:
    """True for ``scheme://...``; a bare or ``file://``-less local path is not a URI."""
    scheme, sep, _ = path.partition("://")
    return bool(sep) and scheme.replace("+", "").isalnum()


def is_local(path: str) -> bool:
    """True when `path` is on a disk of this machine."""
    return not is_uri(path) or path.startswith("file://")


def has_only_objects(served: pafs.FileSystem) -> bool:
    """True for an object store, whose folders are but parts of names: none needs to be made or can be empty."""
    return served.type_name in ("s3", "gcs", "abfs")


def _parse(uri: str) -> _Uri:
    base, options = _without_options(uri)
    scheme, _, rest = base.partition("://")
    authority, _, key = rest.partition("/")
    user, _, host = authority.rpartition("@")
    return _Uri(scheme, user, host, key, options)


def _without_options(uri: str) -> tuple[str, str]:
    found = _OPTIONS.search(uri)
    return (uri[: found.start()], found[1]) if found else (uri, "")


def filesystem(path: str | os.PathLike[str]) -> tuple[pafs.FileSystem, str]:
    """The filesystem that serves `path`, and the path as that filesystem spells it."""
    path = os.fspath(path)
    if not is_uri(path):
        return pafs.LocalFileSystem(), str(_expanded(path).absolute())
    if path.startswith("file://"):
        return pafs.LocalFileSystem(), path.removeprefix("file://")
    uri = _parse(path)
    if uri.scheme == "s3":
        return s3.connect(s3_store(path), uri.host), f"{uri.host}/{uri.key}".rstrip("/")
    if uri.scheme in ("http", "https"):
        # fsspec would, but calls whatever goes wrong a missing file, an outage too.
        raise StorageError(f"cannot use {shown(path)}: the web is not storage, copy the file to a disk or bucket")
    user, options = f"{uri.user}@" if uri.user else "", f"?{uri.options}" if uri.options else ""
    # One filesystem per bucket: asking pyarrow again for every key would look its settings up every time.
    served, root = _remote(f"{uri.scheme}://{user}{uri.host}{options}")
    return served, f"{root.rstrip('/')}/{uri.key}".rstrip("/")


def s3_store(path: str) -> s3.Store:
    """Server and credentials of an ``s3://`` path."""
    uri = _parse(path)
    if ":" in uri.host or not uri.host:
        raise StorageError(
            f"cannot parse {shown(path)}: want s3://BUCKET/KEY; keys are best given as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or in front of the bucket with '/' and '@' written %2F and %40"
        )
    try:
        return s3.store(uri.user, uri.options)
    except StorageError as err:
        raise StorageError(f"cannot parse {shown(path)}: {err}") from None


@lru_cache(maxsize=64)
def _remote(root: str) -> tuple[pafs.FileSystem, str]:
    scheme, _, host = _without_options(root)[0].partition("://")
    try:
        if scheme in ("gs", "gcs") and "retry_limit_seconds" not in root:
            # Storage's own patience decides how long to try; Google's library would take 15 minutes.
            root += ("&" if "?" in root else "?") + "retry_limit_seconds=1"
        return pafs.FileSystem.from_uri(root)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        try:
            import fsspec

            return pafs.PyFileSystem(pafs.FSSpecHandler(fsspec.filesystem(scheme))), host
        except (ImportError, ValueError, TypeError):
            said = redact(str(err))
            raise StorageError(f"{shown(root)}: no filesystem serves '{scheme}://' ({said})") from None


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # '~name' of somebody this machine does not know is a name like any other, as it is for a shell.
        return Path(path)


def join(base: str, *parts: str) -> str:
    """`base` and `parts` with single slashes between them, local paths and URIs alike; options of a URI stay last."""
    start, options = _without_options(base) if is_uri(base) else (base, "")
    return "/".join([start.rstrip("/"), *(p.strip("/") for p in parts)]) + (f"?{options}" if options else "")


def parted(path: str) -> tuple[str, str]:
    """(what `path` lies in, its last name), which `join` puts together again."""
    start, options = _without_options(path) if is_uri(path) else (path, "")
    above, _, name = start.rstrip("/").rpartition("/")
    return (above or "/") + (f"?{options}" if options else ""), name


def without_credentials(path: str) -> str:
    """`path` without what opens its storage; the environment has to."""
    if not is_uri(path):
        return path
    base, options = _without_options(path)
    scheme, _, rest = base.partition("://")
    authority, slash, key = rest.partition("/")
    kept = [pair for pair in options.split("&") if pair and shown(f"x://y?{pair}") == f"x://y?{pair}"]
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{key}" + (f"?{'&'.join(kept)}" if kept else "")


def absolute(path: str) -> str:
    """`path` so that it means the same in a worker, which runs in another folder."""
    return path if is_uri(path) else filesystem(path)[1]


def ask(doing: str, path: str, call: Callable[[pafs.FileSystem, str], T]) -> T:
    """What `call` gives for the filesystem that serves `path` and its path there, patiently where that is remote.

    Raises:
        StorageError: ``cannot {doing} {path}: why``.
    """
    try:
        return call(*filesystem(path)) if is_local(path) else patiently(lambda: call(*filesystem(path)))
    except FAILURES as err:
        raise failed(doing, path, err) from None


def failed(doing: str, path: str, err: BaseException) -> StorageError:
    """The error to raise for `err`, which ended `doing` something with `path`."""
    reason = why(err)
    if not is_local(path) and reason.kind in (Kind.NOT_FOUND, Kind.DENIED, Kind.REFUSED):
        reason = _asked_plainly(path, reason)
    if reason.kind is Kind.NOT_FOUND and doing in _MISSING:
        return StorageError(f"{_MISSING[doing]}: {shown(path)}")
    return StorageError(f"cannot {doing} {shown(path)}: {reason}")


def _asked_plainly(path: str, reason: Reason) -> Reason:
    # S3 answers questions about one object without a body: why it refuses, or that there is no such bucket, it only
    # says to who asks for a list.
    if _parse(path).scheme != "s3":
        return reason
    if reason.kind is not Kind.NOT_FOUND and not _has_credentials(s3_store(path), os.environ):
        return Reason(
            Kind.DENIED,
            "access denied, and there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE, or give this machine a role",
        )
    try:
        served, inner = filesystem(path)
        served.get_file_info(pafs.FileSelector(f"{inner.partition('/')[0]}/{uuid.uuid4()}"))
    except FAILURES as err:
        told = why(err)
        return told if told.kind in (Kind.NO_BUCKET, Kind.WRONG_KEY) else reason
    return reason


def _has_credentials(place: s3.Store, environ: Mapping[str, str]) -> bool:
    # Roles of instances and containers leave a trace in the environment or are found by asking, which has been done.
    traces = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    file = environ.get("AWS_SHARED_CREDENTIALS_FILE") or _expanded("~/.aws/credentials")
    return bool(place.key) or any(environ.get(name) for name in traces) or os.path.exists(file)
