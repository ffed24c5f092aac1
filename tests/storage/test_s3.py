"""Buckets of a real S3 server: whole files or none, through outages, and errors that say which of all it is."""

import io
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import storage
from synatt.storage import StorageError, writing
from synatt.storage.s3 import Store, store
from tests.s3server import KEY, SECRET, S3Server, point_at, s3_server

# No path of a file system may hold all of these.
ODD = "ein Zug é+%20&=#[1].wav"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3server"), ("bucket", "other", "third")) as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    point_at(running, monkeypatch)
    yield running
    storage.set_patience(2.0)


@pytest.fixture
def folder(server: S3Server, request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for this test alone."""
    return f"s3://bucket/{request.node.name}"


def refused(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(StorageError) as caught:
        call(*args)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert SECRET not in said and "AKNOBODY" not in said
    return said


def test_what_is_written_is_read_back_and_listed(folder: str) -> None:
    data = os.urandom(100_000)
    storage.write_bytes(f"{folder}/a/{ODD}", data)
    storage.write_bytes(f"{folder}/a/b/empty", b"")
    storage.write_json(f"{folder}/.hidden/x.json", {"é": 1})
    assert storage.read_bytes(f"{folder}/a/{ODD}") == data
    assert storage.read_bytes(f"{folder}/a/b/empty") == b""
    assert storage.read_json(f"{folder}/.hidden/x.json") == {"é": 1}
    assert storage.list_files(folder) == [("a/b/empty", 0), (f"a/{ODD}", 100_000)]
    assert storage.list_files(f"{folder}/a/", recursive=False) == [(ODD, 100_000)]
    assert list(storage.iter_files(f"{folder}/a")) == [ODD, "b/empty"]
    assert storage.list_dirs(folder) == [".hidden", "a"]
    assert storage.is_dir(f"{folder}/a") and not storage.is_file(f"{folder}/a")
    assert storage.info(f"{folder}/a/{ODD}").size == 100_000
    assert not storage.exists(f"{folder}/none")


def test_a_folder_of_a_bucket_is_there_before_anything_is_in_it(folder: str) -> None:
    storage.make_dirs(f"{folder}/new/deeper")
    assert storage.list_files(f"{folder}/new") == list(storage.iter_files(f"{folder}/new")) == []
    storage.write_text(f"{folder}/new/deeper/x", "x")
    assert storage.list_files(f"{folder}/new") == [("deeper/x", 1)]


def test_a_uri_alone_says_server_and_credentials(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    folder = f"s3://{KEY}:{SECRET.replace('/', '%2F')}@bucket/in{server.options}"
    storage.write_text(storage.join(folder, "a", "x"), "x")
    assert storage.read_text(storage.join(folder, "a", "x")) == "x"
    assert storage.list_files(folder) == [("a/x", 1)]
    storage.move_dir(storage.join(folder, "a"), storage.join(folder, "b"))
    assert list(storage.iter_files(folder)) == ["b/x"]
    storage.delete_dir(folder)
    assert not storage.exists(folder)


def test_a_file_is_open_to_read_in_any_order(folder: str) -> None:
    data = os.urandom(50_000)
    storage.write_bytes(f"{folder}/x", data)
    with storage.open_input(f"{folder}/x") as file:
        assert file.read(10) == data[:10]
        assert file.seek(-5, io.SEEK_END) == 49_995
        assert file.read() == data[-5:]
        assert file.read(1) == b""
        assert file.seek(3) == file.tell() == 3
        assert io.BufferedReader(file).read(7) == data[3:10]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_tables_are_written_and_read_by_columns(folder: str) -> None:
    table = pa.table({"a": list(range(1000)), "b": [str(i) for i in range(1000)]})
    storage.write_table(f"{folder}/t/part-0.parquet", table)
    assert storage.read_table(f"{folder}/t").equals(table)
    assert storage.read_table(f"{folder}/t/part-0.parquet", ["b"]).equals(table.select(["b"]))


def test_deleting_leaves_what_lies_beside(folder: str) -> None:
    for name in ("a/1", "a/2", "a/b/3", "c"):
        storage.write_text(f"{folder}/{name}", "x")
    storage.delete_file(f"{folder}/a/1")
    storage.delete_file(f"{folder}/a/none")
    assert [name for name, _ in storage.list_files(folder)] == ["a/2", "a/b/3", "c"]
    storage.delete_dir(f"{folder}/a/b")
    storage.delete_dir(f"{folder}/none")
    assert [name for name, _ in storage.list_files(folder)] == ["a/2", "c"]
    storage.delete_file(f"{folder}/a/2")
    storage.write_text(f"{folder}/a/2", "again")
    assert storage.list_files(folder) == [("a/2", 5), ("c", 1)]


def test_a_bucket_is_emptied_and_not_deleted(server: S3Server) -> None:
    storage.write_text("s3://third/a/x", "x")
    storage.delete_dir("s3://third")
    assert storage.list_files("s3://third") == []
    storage.write_text("s3://third/y", "x")
    assert storage.list_files("s3://third") == [("y", 1)]


def test_files_and_folders_are_moved(folder: str) -> None:
    for name in (f"in/{ODD}", "in/b/y", "in/.h"):
        storage.write_text(f"{folder}/{name}", name)
    storage.write_text(f"{folder}/out/z", "old")
    storage.move(f"{folder}/in/b/y", f"{folder}/out/z")
    assert storage.read_text(f"{folder}/out/z") == "in/b/y"
    storage.move_dir(f"{folder}/in", "s3://other/moved")
    assert not storage.exists(f"{folder}/in")
    assert storage.list_files("s3://other/moved") == [(ODD, len(f"in/{ODD}".encode()))]
    assert storage.read_text("s3://other/moved/.h") == "in/.h"
    assert "nothing is there" in refused(storage.move, f"{folder}/none", f"{folder}/x")
    assert "no such folder" in refused(storage.move_dir, f"{folder}/none", f"{folder}/x")
    assert "different storages" in refused(storage.move, f"{folder}/out/z", "/tmp/z")


def test_an_aborted_file_is_never_seen(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    schema = pa.schema({"a": pa.int64()})
    with pytest.raises(ZeroDivisionError), storage.open_output(f"{folder}/t/x.parquet") as file:
        with pq.ParquetWriter(file, schema) as writer:
            writer.write_table(pa.table({"a": list(range(100_000))}))
            raise ZeroDivisionError
    assert storage.list_files(folder) == []
    with storage.open_output(f"{folder}/t/x.parquet") as file, pq.ParquetWriter(file, schema) as writer:
        for start in range(0, 300, 100):
            writer.write_table(pa.table({"a": list(range(start, start + 100))}))
        assert not storage.exists(f"{folder}/t/x.parquet")
    assert storage.read_table(f"{folder}/t/x.parquet").column("a").to_pylist() == list(range(300))
    assert os.listdir(tmp_path) == []


class Stopped(Exception):
    pass


def test_a_signal_in_the_middle_of_an_upload_publishes_no_part_of_it(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PART_BYTES", 1 << 20)
    path, data = f"{folder}/x", os.urandom(30_000_000)

    def stop(*args: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    seen = []
    try:
        for after_s in (0.02, 0.1, 0.3):
            try:
                signal.setitimer(signal.ITIMER_REAL, after_s)
                storage.write_bytes(path, data)
            except Stopped:
                seen.append(after_s)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert not storage.exists(path) or storage.read_bytes(path) == data
            storage.delete_file(path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen


@pytest.mark.parametrize(
    ("user", "told"),
    [
        (f"{KEY}:wrong", "wrong secret for this key: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("AKNOBODY:wrong", "wrong key, storage does not know it: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_credentials_are_named(server: S3Server, user: str, told: str) -> None:
    for call in CALLS:
        assert refused(call, f"s3://{user}@bucket/a/x").endswith(f"s3://bucket/a/x: {told}")


CALLS: list[Callable[[str], object]] = [
    storage.info,
    storage.read_bytes,
    storage.list_files,
    lambda path: list(storage.iter_files(path)),
    lambda path: storage.write_bytes(path, b"x"),
    storage.delete_file,
    storage.delete_dir,
    lambda path: storage.move(path, path + "y"),
    lambda path: storage.move_dir(path, path + "y"),
]


def test_missing_credentials_are_named(folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    for call in (storage.info, storage.read_bytes, storage.list_files):
        assert "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET" in refused(call, f"{folder}/x")


def test_a_wrong_bucket_is_named_and_a_missing_file_is_another_matter(folder: str) -> None:
    told = "s3://none/x: no such bucket, check its name and AWS_ENDPOINT_URL"
    for call in (storage.read_bytes, storage.list_files, lambda path: storage.write_bytes(path, b"x")):
        assert refused(call, "s3://none/x").endswith(told)
    assert refused(storage.read_bytes, f"{folder}/none") == f"no such file: {folder}/none"


def test_a_path_that_cannot_be_parsed_is_shown_without_its_key(folder: str) -> None:
    assert "cannot parse s3://bucket/x: want s3://BUCKET/KEY" in refused(
        storage.read_bytes, f"s3://{KEY}:{SECRET}@bucket/x"
    )
    assert "no option of S3 is called 'endpoint'" in refused(storage.read_bytes, f"{folder}/x?endpoint=h&token=abc")
    assert "the web is not storage" in refused(storage.read_bytes, "https://host/x?sig=abc")


@pytest.mark.parametrize("patience_s", [0.0, 0.5])
def test_where_nothing_listens_fails_fast_and_says_where(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, patience_s: float, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    storage.set_patience(patience_s)
    for call in CALLS[:5]:
        started_s = time.monotonic()
        told = refused(call, f"s3://{KEY}:{SECRET.replace('/', '%2F')}@bucket/x")
        assert patience_s <= time.monotonic() - started_s < patience_s + 2
        assert "s3://bucket/x: storage does not answer, check the network and AWS_ENDPOINT_URL" in told
        assert "127.0.0.1:9" in told
    # The libraries below write to the terminal by themselves.
    printed = "".join(capfd.readouterr())
    assert not any(secret in printed for secret in (SECRET, SECRET.replace("/", "%2F"), KEY))


def test_a_read_outlasts_a_server_that_is_restarted(
    server: S3Server, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = os.urandom(3_000_000)
    storage.write_bytes(f"{folder}/x", data)
    storage.set_patience(60)
    read = bytearray()
    with caplog.at_level(logging.INFO, "synatt"), storage.open_input(f"{folder}/x") as file:
        while piece := file.read(100_000):
            read += piece
            if len(read) == 1_000_000:
                again = stopped_for(server, 2.0)
    again.join()
    assert bytes(read) == data
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("trying again for 60 s: storage does not answer")
    assert told[1].startswith("storage answers again after")
    assert not any(KEY in line or SECRET in line for line in told)


def test_a_write_outlasts_a_server_that_is_restarted_and_is_seen_whole_or_not_at_all(
    server: S3Server, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = f"{folder}/x", os.urandom(100_000_000)
    storage.set_patience(60)
    sizes, done = set(), threading.Event()
    tries, send = [], writing._send

    def watch() -> None:
        while not done.is_set():
            sizes.add(storage.info(path).size)
            time.sleep(0.05)

    def send_and_lose(*given: Any) -> None:
        tries.append(given)
        if len(tries) == 1:
            threading.Timer(0.1, stopped_for, (server, 1.0)).start()
        send(*given)

    monkeypatch.setattr(writing, "_send", send_and_lose)
    watcher = threading.Thread(target=watch)
    watcher.start()
    storage.write_bytes(path, data)
    done.set()
    watcher.join()
    assert storage.read_bytes(path) == data
    assert sizes <= {None, len(data)}
    assert len(tries) > 1


def stopped_for(server: S3Server, seconds: float) -> threading.Thread:
    """Kill the server now, start it again later."""
    server.stop()
    later = threading.Timer(seconds, server.start)
    later.start()
    return later


def test_a_file_that_is_replaced_during_an_outage_is_not_read_half_and_half(server: S3Server, folder: str) -> None:
    storage.write_bytes(f"{folder}/x", b"old" * 1000)
    storage.set_patience(60)
    with storage.open_input(f"{folder}/x") as file:
        assert file.read(3) == b"old"
        server.stop()
        (server.folder / folder.removeprefix("s3://") / "x").write_bytes(b"new" * 1000)
        server.start()
        file._file = None  # type: ignore[attr-defined]  # as a read that failed leaves it
        assert "was replaced while it was read" in refused(file.read, 3)


@pytest.mark.parametrize(
    ("user", "query", "environ", "wanted"),
    [
        ("", "", {}, Store()),
        ("", "", {"AWS_ENDPOINT_URL": "http://h:1/"}, Store("h:1", "http")),
        ("", "", {"AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "https://s3"}, Store("s3", "https")),
        ("", "endpoint_override=h:2&scheme=http", {"AWS_ENDPOINT_URL": "https://h:1"}, Store("h:2", "http")),
        ("", "region=eu", {"AWS_REGION": "us"}, Store(region="eu")),
        ("", "", {"AWS_DEFAULT_REGION": "us"}, Store(region="us")),
        ("A:s%2Fs", "", {"AWS_ACCESS_KEY_ID": "B", "AWS_SESSION_TOKEN": "t"}, Store(key="A", secret="s/s")),
        (
            "",
            "",
            {"AWS_ACCESS_KEY_ID": "B", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            Store(key="B", secret="s", token="t"),
        ),
        ("", "", {"AWS_ACCESS_KEY_ID": "B"}, Store()),
    ],
)
def test_server_and_credentials_come_from_the_uri_and_then_from_the_environment(
    user: str, query: str, environ: dict[str, str], wanted: Store
) -> None:
    assert store(user, query, environ) == wanted
    assert "s/s" not in repr(store(user, query, environ))
