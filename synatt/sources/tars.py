"""A WebDataset shard: a tar of recordings, of which only the headers are read."""

import io
import logging
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from synatt import storage
from synatt.audio import AUDIO_SUFFIXES
from synatt.byterange import ByteRange
from synatt.errors import UsageError
from synatt.sources.rows import BATCH_ROWS, file_name, make_rows
from synatt.storage import StorageError, why
from synatt.storage.filesystems import is_local
from synatt.worklist import Rows

log = logging.getLogger("synatt")

TAR_SUFFIX = ".tar"
PACKED_TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_PACKED = {
    b"\x1f\x8b": "gzipped",
    b"BZh": "bzipped",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
}

# What is fetched around a header: from a bucket a request costs as much as a megabyte.
LOCAL_READ_BYTES, BUCKET_READ_BYTES = 1 << 14, 1 << 20
# A header with its long name has some KB; a damaged one may claim any size.
MAX_HEADER_BYTES = 1 << 20
MAX_SIZE = 1 << 62


class Member(NamedTuple):
    """A recording within a tar: `size` bytes at `at`; `at` is -1 for all that is lost to damage."""

    name: str
    at: int
    size: int | None


def read(path: str, name: str | None = None) -> Iterator[Rows]:
    """A row per recording in the tar at `path`, in its order.

    `track` is `name` without .tar, a slash and the member's name: keys are unique only within a shard.
    Where the tar is cut or a header is damaged, the members before it are listed, and one more row that cannot be
    decoded stands for what is lost, so that nothing goes missing unseen. Hidden members are left out; links and sparse
    files too, with a log line.

    Args:
        name: of the tar in tracks; its file name by default.

    Raises:
        UsageError: the tar cannot be read, or is compressed and so cannot be read in parts.
    """
    stem = (name or file_name(path))[: -len(TAR_SUFFIX)]
    found: list[Member] = []
    for member in _members(path):
        found.append(member)
        if len(found) == BATCH_ROWS:
            yield _rows(path, stem, found)
            found = []
    if found:
        yield _rows(path, stem, found)


def packed(path: str, how: str) -> UsageError:
    return UsageError(f"{storage.shown(path)} is {how} and cannot be read in parts: give the plain .tar")


def _rows(path: str, stem: str, members: list[Member]) -> Rows:
    location = storage.absolute(path)
    shown = storage.shown(location)
    return make_rows(
        [f"{stem}/{m.name}" for m in members],
        location,
        path=[f"{shown}#{m.name}" for m in members],
        held="tar",
        at=[m.at for m in members],
        size=[m.size for m in members],
    )


def _members(path: str) -> Iterator[Member]:
    count, left_out = 0, []
    for header in _headers(path):
        if isinstance(header, Exception):
            log.warning("%s is damaged after %d members: %s", storage.shown(path), count, why(header))
            yield Member(f"(damaged after {count} members)", -1, None)
            break
        count += 1
        name = _name(header)
        if header.isdir() or not name.lower().endswith(AUDIO_SUFFIXES) or _hidden(name):
            continue
        if header.isreg() and not header.issparse():
            yield Member(name, header.offset_data, min(header.size, MAX_SIZE))
        else:
            left_out.append(name)
    if left_out:
        says = "%s: %d members are links or sparse and are left out, first %s"
        log.warning(says, storage.shown(path), len(left_out), left_out[0])


def _name(header: tarfile.TarInfo) -> str:
    # A member is found by its place, so a name that is not UTF-8 costs nothing but its looks.
    return header.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").removeprefix("./")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


def _headers(path: str) -> Iterator[tarfile.TarInfo | Exception]:
    """The header of every member; ends in the exception that a damaged one raises."""
    with storage.open_input(path) as opened:
        file: Any = opened
        whole = ByteRange(file, 0, file.size())
        headers = _walk(_Headers(whole, LOCAL_READ_BYTES if is_local(path) else BUCKET_READ_BYTES), path)
        header: tarfile.TarInfo | Exception | None = None
        while not isinstance(header, Exception):
            try:
                header = next(headers, None)
            except UsageError:
                raise
            except Exception as err:
                # Over what is no header tarfile stumbles in many ways, with its own errors and with Python's.
                header = err
            if whole.failure:
                raise StorageError(f"cannot read {storage.shown(path)}: {why(whole.failure)}")
            if header is None:
                return
            yield header


def _walk(file: "_Headers", path: str) -> Iterator[tarfile.TarInfo]:
    start = file.read(6)
    for magic, how in _PACKED.items():
        if start.startswith(magic):
            raise packed(path, how)
    # An archive of nothing, for what `fromtarfile` wants of it; the file itself would be listed into memory.
    tar = tarfile.TarFile(fileobj=io.BytesIO(bytes(tarfile.RECORDSIZE)), encoding="utf-8", errors="surrogateescape")
    tar.fileobj = file
    place, ended = 0, False
    while True:
        file.seek(place)
        block = file.read(tarfile.BLOCKSIZE)
        if not block:
            if not ended:
                raise tarfile.HeaderError("it ends without an end mark")
            return
        # What follows an end mark is another tar: shards are joined with `cat`.
        if ended := not block.strip(b"\0"):
            place += tarfile.BLOCKSIZE
            continue
        file.seek(place)
        header = tarfile.TarInfo.fromtarfile(tar)
        if header.size < 0 or tar.offset <= place:
            raise tarfile.HeaderError(f"a member claims {header.size} bytes")
        place = tar.offset
        yield header


class _Headers(io.BufferedReader):
    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.HeaderError(f"a header claims {size} bytes")
        return super().read(size)
