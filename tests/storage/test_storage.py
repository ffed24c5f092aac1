"""Paths and URIs: whole files or none, one-line errors, the same names everywhere."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from synatt import storage
from synatt.storage import StorageError

ROOT = Path(__file__).parent.parent.parent


def refused(call: object, *args: object) -> str:
    with pytest.raises(StorageError) as caught:
        call(*args)  # type: ignore[operator]
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("s3://b/k", True),
        ("gs://b", True),
        ("file:///x", True),
        ("/a://b", False),
        ("a/b", False),
        ("://x", False),
        ("C:x", False),
    ],
)
def test_a_uri_has_a_scheme(path: str, uri: bool) -> None:
    assert storage.is_uri(path) is uri


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("a", "b"), "a/b"),
        (("a/", "/b/", "c"), "a/b/c"),
        (("/", "a"), "/a"),
        (("/a/b/", "c.txt"), "/a/b/c.txt"),
        (("s3://bucket", "k"), "s3://bucket/k"),
        (("s3://bucket/", "a/b", "c"), "s3://bucket/a/b/c"),
        (
            ("s3://bucket/a?region=r&endpoint_override=http://h:1/", "b"),
            "s3://bucket/a/b?region=r&endpoint_override=http://h:1/",
        ),
        (("s3://bucket/what?", "b"), "s3://bucket/what?/b"),
        (("what?a=b", "c"), "what?a=b/c"),
    ],
)
def test_parts_are_joined_with_single_slashes(parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(*parts) == joined


def test_what_is_written_is_read_back_and_folders_are_made(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "deeper" / "x")
    storage.write_bytes(path, b"\x00\xff")
    assert storage.read_bytes(path) == b"\x00\xff"
    storage.write_text(path, "Zoë\n語")
    assert storage.read_text(path) == "Zoë\n語"
    storage.write_json(path, {"ë": [1, None]})
    assert storage.read_json(path) == {"ë": [1, None]} == json.loads(Path(path).read_text())


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbftrack")
    assert storage.read_text(str(tmp_path / "x")) == "track"


def test_damaged_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{")
    assert "x is not JSON" in refused(storage.read_json, str(tmp_path / "x"))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert "cannot write" in refused(storage.write_bytes, str(tmp_path / "taken"), b"x")
    assert os.listdir(tmp_path) == ["taken"]
    (tmp_path / "file").write_text("x")
    assert "cannot write" in refused(storage.write_bytes, str(tmp_path / "file" / "below"), b"x")
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]


def test_a_disk_that_is_full_leaves_the_old_file_and_no_part_of_the_new(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    code = (
        "import resource, signal; from synatt import storage\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"try: storage.write_bytes({str(path)!r}, bytes(100_000))\n"
        "except storage.StorageError as err: print(err)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_stop_between_writing_and_renaming_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def lost(*args: object) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(os, "replace", lost)
    assert "connection lost" in refused(storage.write_bytes, str(path), b"new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_is_seen_when_it_is_whole_and_never_after_an_exception(tmp_path: Path, remote: bool) -> None:
    folder = "memory://whole" if remote else str(tmp_path / "new")
    with storage.open_output(f"{folder}/x") as file:
        file.write(b"one ")
        assert not storage.exists(f"{folder}/x")
        file.write(b"file")
    assert storage.read_bytes(f"{folder}/x") == b"one file"
    with pytest.raises(ZeroDivisionError), storage.open_output(f"{folder}/x") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert storage.read_bytes(f"{folder}/x") == b"one file"
    assert storage.list_files(folder) == [("x", 8)]
    assert remote or os.listdir(folder) == ["x"]


def test_no_room_to_gather_a_remote_file_is_told_from_no_room_on_the_remote_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    said = refused(storage.write_bytes, "memory://whole/y", b"x")
    assert said.startswith("cannot write memory://whole/y: [Errno 2] No such file or directory")
    assert said.endswith(f"(gathering it in {tmp_path}/gone)")


@pytest.mark.parametrize("remote", [False, True])
def test_files_and_folders_are_moved(tmp_path: Path, remote: bool) -> None:
    base = "memory://moving" if remote else str(tmp_path)
    for name in ("a/x", "a/b/y", "a/b/.h"):
        storage.write_text(f"{base}/{name}", name)
    storage.write_text(f"{base}/z", "old")
    storage.move(f"{base}/a/x", f"{base}/z")
    assert storage.read_text(f"{base}/z") == "a/x"
    storage.move_dir(f"{base}/a", f"{base}/new/a")
    assert storage.list_files(base) == [("new/a/b/y", 5), ("z", 3)]
    assert storage.read_text(f"{base}/new/a/b/.h") == "a/b/.h"
    assert f"cannot move {base}/a" in refused(storage.move_dir, f"{base}/a", f"{base}/c")
    assert "different storages" in refused(storage.move, f"{base}/z", "s3://bucket/z")


def test_a_folder_is_not_moved_over_another(tmp_path: Path) -> None:
    for name in ("a/x", "b/y"):
        storage.write_text(str(tmp_path / name), "x")
    assert "cannot move" in refused(storage.move_dir, str(tmp_path / "a"), str(tmp_path / "b"))
    assert storage.list_files(str(tmp_path)) == [("a/x", 1), ("b/y", 1)]


def test_what_is_there_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    told = {
        name: (storage.exists(p), storage.is_file(p), storage.is_dir(p))
        for name, p in (("f", str(tmp_path / "f")), ("d", str(tmp_path)), ("n", str(tmp_path / "n")))
    }
    assert told == {"f": (True, True, False), "d": (True, False, True), "n": (False, False, False)}


def test_files_are_listed_with_sizes_sorted_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a/.h", ".hidden/x", "Z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("12345"[: len(name)])
    everything = [("Z", 1), ("a/c", 3), ("b", 1)]
    assert storage.list_files(str(tmp_path)) == everything
    assert storage.list_files(str(tmp_path) + "/") == everything
    assert storage.list_files(f"file://{tmp_path}") == everything
    assert storage.list_files(str(tmp_path), recursive=False) == [("Z", 1), ("b", 1)]
    assert storage.list_dirs(str(tmp_path)) == [".hidden", "a"]


def test_a_name_that_is_not_utf_8_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "ok").write_text("x")
    (tmp_path / "\udcff").write_text("x")
    odd: list[str] = []
    assert storage.list_files(str(tmp_path), unnamable=odd) == [("ok", 1)]
    assert odd == ["\\xff"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert storage.list_files(str(tmp_path)) == [("a/x", 1)]


def test_a_walk_gives_what_a_listing_gives_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a/.h", ".hidden/x", "Z", "a/b/y", "a/B/x", "c/d/e/f"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    walk = ["Z", "b", "a/c", "a/B/x", "a/b/y", "c/d/e/f"]
    assert list(storage.iter_files(str(tmp_path))) == walk
    assert [name for name, _ in storage.list_files(str(tmp_path))] == sorted(walk)
    assert list(storage.iter_files(str(tmp_path), recursive=False)) == ["Z", "b"]


def test_a_bucket_is_walked_like_a_folder() -> None:
    for name in ("b", "a/c", "a/.h", ".hidden/x", "Z", "a/b/y", "a/B/x", "c/d/e/f"):
        storage.write_text(f"memory://walk/in/{name}", "x")
    walk = ["Z", "b", "a/c", "a/B/x", "a/b/y", "c/d/e/f"]
    assert list(storage.iter_files("memory://walk/in")) == walk
    assert [name for name, _ in storage.list_files("memory://walk/in/")] == sorted(walk)
    assert list(storage.iter_files("memory://walk")) == [f"in/{name}" for name in walk]
    assert "no such folder: memory://walk/none" in refused(list, storage.iter_files("memory://walk/none"))


def test_a_walk_does_not_wait_for_the_whole_listing(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"d{i:02d}" / "deep").mkdir(parents=True)
        (tmp_path / f"d{i:02d}" / "x").write_text("x")
    walk = storage.iter_files(str(tmp_path))
    assert next(walk) == "d00/x"
    # What comes to be in a folder whose turn is far off is still found.
    (tmp_path / "d29" / "y").write_text("x")
    assert list(walk)[-2:] == ["d29/x", "d29/y"]


def test_a_folder_that_goes_away_during_a_walk_is_one_line(tmp_path: Path) -> None:
    for name in [f"d{i:02d}" for i in range(30)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    walk = storage.iter_files(str(tmp_path))
    next(walk)
    (tmp_path / "d29" / "x").unlink()
    (tmp_path / "d29").rmdir()
    assert refused(list, walk) == f"no such folder: {tmp_path}/d29"


def test_what_cannot_be_read_or_listed_is_one_line(tmp_path: Path) -> None:
    gone = str(tmp_path / "none")
    assert refused(storage.read_bytes, gone) == f"no such file: {gone}"
    assert gone in refused(storage.list_files, gone)
    assert gone in refused(storage.list_dirs, gone)
    assert str(tmp_path) in refused(storage.read_bytes, str(tmp_path))


@pytest.mark.parametrize("call", [storage.exists, storage.read_bytes, storage.list_files, storage.make_dirs])
def test_a_scheme_that_nothing_serves_is_one_line(call: object) -> None:
    assert "no filesystem serves 'tape://'" in refused(call, "tape://archive/x")


def test_home_is_found_and_a_strangers_home_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").write_text("mine")
    assert storage.read_text("~/x") == "mine"
    assert not storage.exists("~nobody_of_that_name/x")


def test_deleting_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    storage.delete_file(str(tmp_path / "none"))
    storage.delete_dir(str(tmp_path / "none"))
    storage.write_text(str(tmp_path / "d" / "x"), "x")
    storage.delete_file(str(tmp_path / "d"))
    assert storage.exists(str(tmp_path / "d" / "x"))
    storage.delete_dir(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == []


def test_tables_come_back_from_a_file_or_a_folder_of_them(tmp_path: Path) -> None:
    one, two = pa.table({"a": [1, 2], "b": ["x", "y"]}), pa.table({"a": [3], "b": ["z"]})
    storage.write_table(str(tmp_path / "t" / "part-0.parquet"), one)
    storage.write_table(str(tmp_path / "t" / "part-1.parquet"), two)
    (tmp_path / "t" / "notes.txt").write_text("x")
    assert storage.read_table(str(tmp_path / "t" / "part-0.parquet")).equals(one)
    assert storage.read_table(str(tmp_path / "t")).equals(pa.concat_tables([one, two]))
    assert storage.read_table(str(tmp_path / "t"), ["a"]).column_names == ["a"]


def test_what_is_no_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("x")
    assert "x.parquet is not a Parquet table" in refused(storage.read_table, str(tmp_path / "x.parquet"))
    (tmp_path / "empty").mkdir()
    assert "holds no Parquet file" in refused(storage.read_table, str(tmp_path / "empty"))


def test_what_cannot_be_discarded_is_named_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from synatt.storage import moving

    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "x").write_bytes(b"1")
    storage.discard(str(tmp_path / "scratch"))
    assert not (tmp_path / "scratch").exists() and not caplog.records
    calls = []

    def refuse(folder: str) -> None:
        calls.append(folder)
        if len(calls) != 2:
            raise storage.StorageError("cannot delete it: busy")

    monkeypatch.setattr(moving, "delete_dir", refuse)
    storage.discard("/scratch")
    assert len(calls) == 2 and not caplog.records, "a file that was still being written is gone at the second try"
    calls += ["", ""]
    storage.discard("/scratch")
    assert [r.getMessage() for r in caplog.records] == ["left behind, and of no use: /scratch (cannot delete it: busy)"]
