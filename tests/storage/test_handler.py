"""Storage as a pyarrow filesystem: what libraries do with one, in a bucket of a real S3 server."""

import copy
import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from synatt import storage
from synatt.storage import StorageError
from synatt.storage.filesystems import parted, without_credentials
from tests.s3server import KEY, SECRET, S3Server, point_at, s3_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3server")) as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    point_at(running, monkeypatch)
    yield running
    storage.set_patience(2.0)


@pytest.fixture
def folder(server: S3Server, request: pytest.FixtureRequest) -> str:
    return f"s3://bucket/in/{request.node.name}"


def put(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_folders_go_in_and_out_whole_and_are_listed_below_the_path_asked_for(folder: str, tmp_path: Path) -> None:
    served, path = storage.as_filesystem(folder)
    local = put(tmp_path / "given", big=os.urandom(3_000_000), empty=b"")
    put(local / "deep", x=b"x")
    # This server refuses the empty objects that pyarrow makes for folders.
    served.create_dir(f"{path}/run/new")
    pafs.copy_files(str(local), f"{path}/run", destination_filesystem=served)
    assert storage.list_files(folder) == [("run/big", 3_000_000), ("run/deep/x", 1), ("run/empty", 0)]
    found = served.get_file_info(pafs.FileSelector(f"{path}/run", recursive=True))
    names = {f.path: (f.type, f.size) for f in found if f.type == pafs.FileType.File}
    assert names[f"{path}/run/deep/x"] == (pafs.FileType.File, 1) and len(names) == 3
    assert {f.base_name for f in served.get_file_info(pafs.FileSelector(f"{path}/run"))} == {"big", "deep", "empty"}
    pafs.copy_files(f"{path}/run", str(tmp_path / "back"), source_filesystem=served)
    for name in ("big", "empty", "deep/x"):
        assert (tmp_path / "back" / name).read_bytes() == (local / name).read_bytes()
    served.copy_file(f"{path}/run/big", f"{path}/beside")
    served.move(f"{path}/run/deep", f"{path}/moved")
    served.delete_file(f"{path}/run/empty")
    served.delete_dir(f"{path}/run")
    assert storage.list_files(folder) == [("beside", 3_000_000), ("moved/x", 1)]


def test_more_files_than_pyarrow_has_threads_are_copied(folder: str, tmp_path: Path) -> None:
    served, path = storage.as_filesystem(folder)
    count = 3 * pa.io_thread_count()
    local = put(tmp_path / "given", **{f"f{i:02d}": bytes([i]) * 1000 for i in range(count)})
    threads = pa.io_thread_count()
    copying = threading.Thread(
        target=pafs.copy_files, args=(str(local), path), kwargs={"destination_filesystem": served}, daemon=True
    )
    copying.start()
    copying.join(timeout=60)
    assert not copying.is_alive(), "the threads wait for each other"
    assert storage.list_files(folder) == [(f"f{i:02d}", 1000) for i in range(count)]
    assert pa.io_thread_count() == threads


def test_what_is_not_there_is_said_as_pyarrow_says_it(folder: str) -> None:
    served, path = storage.as_filesystem(folder)
    assert served.get_file_info(f"{path}/none").type == pafs.FileType.NotFound
    assert served.get_file_info(pafs.FileSelector(f"{path}/none", allow_not_found=True)) == []
    with pytest.raises(FileNotFoundError):
        served.get_file_info(pafs.FileSelector(f"{path}/none"))
    with pytest.raises(FileNotFoundError):
        served.open_input_file(f"{path}/none")


def test_a_stream_that_is_dropped_publishes_nothing(folder: str) -> None:
    served, path = storage.as_filesystem(folder)
    stream = served.open_output_stream(f"{path}/half")
    stream.write(b"half")
    del stream
    assert not storage.exists(f"{folder}/half")
    with served.open_output_stream(f"{path}/whole") as stream:
        stream.write(b"whole")
        assert stream.tell() == 5 and not storage.exists(f"{folder}/whole")
    assert storage.read_bytes(f"{folder}/whole") == b"whole"


def test_copies_outlast_a_server_that_is_restarted(server: S3Server, folder: str, tmp_path: Path) -> None:
    served, path = storage.as_filesystem(folder)
    local = put(tmp_path / "given", x=os.urandom(100_000))
    # An unpickled one is in the middle of a run.
    served = pickle.loads(pickle.dumps(served))
    server.stop()
    later = threading.Timer(3.0, server.start)
    later.start()
    start = time.monotonic()
    try:
        pafs.copy_files(str(local), f"{path}/run", destination_filesystem=served)
    finally:
        later.join()
    assert time.monotonic() - start > 2.5
    assert storage.read_bytes(f"{folder}/run/x") == (local / "x").read_bytes()


def test_a_pickled_one_holds_no_secret_unless_it_is_asked_to(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = storage.as_filesystem("s3://bucket/in/secrets")[0]
    plain.get_file_info("secrets")
    secret = SECRET.replace("/", "%2F")
    given = f"s3://{KEY}:{secret}@bucket/in/secrets{server.options}"
    quiet, open_ = storage.as_filesystem(given)[0], storage.as_filesystem(given, pickle_credentials=True)[0]
    for served in (plain, quiet):
        for said in (pickle.dumps(served), repr(served).encode()):
            assert SECRET.encode() not in said and secret.encode() not in said and KEY.encode() not in said
    pickle.loads(pickle.dumps(quiet)).create_dir("secrets")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    for served in (copy.deepcopy(quiet), pickle.loads(pickle.dumps(open_))):
        with served.open_output_stream("secrets/x") as stream:
            stream.write(b"x")
        served.delete_file("secrets/x")
    # The other knows the server, but has nothing to open it with.
    with pytest.raises(StorageError, match="access denied"):
        pickle.loads(pickle.dumps(quiet)).open_input_file("secrets/x")


def test_a_path_is_parted_and_rid_of_what_opens_it() -> None:
    for path in ("/a/b", "s3://bucket/a/b", "s3://k:s@bucket/a/b?region=x&scheme=http"):
        above, name = parted(path)
        assert name == "b" and storage.join(above, name) == path
    assert without_credentials("s3://k:s@bucket/a?region=x") == "s3://bucket/a?region=x"
    assert (
        without_credentials("gs://bucket/a?access_token=T&endpoint_override=h") == "gs://bucket/a?endpoint_override=h"
    )
    assert without_credentials("/a/k:s@b?token=T") == "/a/k:s@b?token=T"
