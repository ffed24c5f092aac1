"""Tar shards: what their headers say, and what is made of headers that lie."""

import gzip
import logging
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synatt import storage
from synatt.sources import tars
from tests.inputrows import refused, rows_of, tracks_of, write_tar

BLOCK = tarfile.BLOCKSIZE


def contents(path: Path) -> list[bytes]:
    """What lies at the places that the rows name."""
    data = path.read_bytes()
    return [data[row["at"] : row["at"] + row["size"]] for row in rows_of(path)]


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def with_size(block: bytes, field: bytes) -> bytes:
    """A header whose size is the 12 bytes `field`, with the checksum set right."""
    out = bytearray(block)
    out[124:136], out[148:156] = field, b" " * 8
    out[148:156] = b"%06o\0 " % sum(out[:BLOCK])
    return bytes(out)


END = bytes(2 * BLOCK)


def test_a_row_per_recording_says_where_it_lies(tmp_path: Path) -> None:
    members = [("0/a.wav", b"first"), ("0/a.json", b"{}"), ("0/b.FLAC", b"second" * 500), ("c.mp3", b"")]
    path = write_tar(tmp_path / "shard-00.tar", members)
    rows = rows_of(path)
    assert [(row["track"], row["path"]) for row in rows] == [
        (f"shard-00/{name}", f"{path}#{name}") for name in ("0/a.wav", "0/b.FLAC", "c.mp3")
    ]
    assert all((row["location"], row["held"], row["source"]) == (str(path), "tar", None) for row in rows)
    assert contents(path) == [b"first", b"second" * 500, b""]


LONG = "d/" * 60 + "語" * 80 + ".wav"
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00/."), min_size=1, max_size=150)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@given(names=st.lists(NAMES, unique=True, min_size=1, max_size=5))
@example(names=["Zoë 語音 🎙", "new\nline", "a#b?c", LONG.removesuffix(".wav").replace("/", "_"), " ", "\\x"])
def test_any_names_come_back(tmp_path_factory: pytest.TempPathFactory, format: int, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("tars") / "t.tar"
    write_tar(path, [(f"{name}.wav", name.encode()) for name in names], format)
    assert tracks_of(path) == [f"t/{name}.wav" for name in names]
    assert contents(path) == [name.encode() for name in names]


def test_long_names_old_names_and_names_of_a_dot_are_read(tmp_path: Path) -> None:
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert tracks_of(write_tar(tmp_path / "t.tar", [(LONG, b"x")], format)) == [f"t/{LONG}"]
    split = "p" * 120 + "/" + "n" * 90 + ".wav"
    assert tracks_of(write_tar(tmp_path / "t.tar", [(split, b"x")], tarfile.USTAR_FORMAT)) == [f"t/{split}"]
    assert tracks_of(write_tar(tmp_path / "t.tar", [("./a/b.wav", b"x")])) == ["t/a/b.wav"]


def test_a_name_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    data = bytearray(header("x.wav", 1))
    data[0] = 0xFF
    path.write_bytes(with_size(bytes(data), bytes(data[124:136])) + b"y".ljust(BLOCK, b"\0") + END)
    assert tracks_of(path) == ["t/\\xff.wav"]
    assert contents(path) == [b"y"]


def test_a_tar_that_gnu_tar_made_of_sparse_linked_and_hidden_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    (folder / "folder.wav").mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"whole")
    (folder / "z.wav").write_bytes(b"last")
    (folder / "folder.wav" / ".hidden.wav").write_bytes(b"x")
    (folder / "._a.wav").write_bytes(b"what macOS leaves")
    (folder / "soft.wav").symlink_to("a.wav")
    os.link(folder / "z.wav", folder / "zz.wav")
    with (folder / "holes.wav").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    path = tmp_path / "t.tar"
    for format in ("gnu", "pax"):
        command = ["tar", "--sparse", "--sort=name", f"--format={format}", "-C", str(folder), "-cf", str(path), "."]
        subprocess.run(command, check=True)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "synatt"):
            assert tracks_of(path) == ["t/a.wav", "t/z.wav"]
        assert contents(path) == [b"whole", b"last"]
        assert "t.tar: 3 members are links or sparse and are left out, first holes.wav" in caplog.text


def test_shards_that_were_joined_are_read_to_their_end(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "1.tar", [("a.wav", b"x")]).read_bytes()
    two = write_tar(tmp_path / "2.tar", [("b.wav", b"y")]).read_bytes()
    (tmp_path / "t.tar").write_bytes(one + two)
    assert tracks_of(tmp_path / "t.tar") == ["t/a.wav", "t/b.wav"]
    assert contents(tmp_path / "t.tar") == [b"x", b"y"]


def test_a_shard_in_a_bucket_is_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", bytes([i]) * 700) for i in range(50)])
    storage.write_bytes("memory://tars/day/t.tar", path.read_bytes())
    there = rows_of("memory://tars/day/t.tar")
    assert [(row["track"], row["at"], row["size"]) for row in there] == [
        (row["track"], row["at"], row["size"]) for row in rows_of(path)
    ]
    assert there[0]["path"] == "memory://tars/day/t.tar#0.wav"


def test_a_long_shard_comes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "BATCH_ROWS", 4)
    path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", b"x") for i in range(10)])
    assert [(part.batch.num_rows, part.together) for part in tars.read(str(path))] == [
        (4, False),
        (4, False),
        (2, False),
    ]


def damage_of(path: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Tracks of a damaged tar, whose last row must stand for the damage, which must be logged once."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "synatt"):
        *rows, last = rows_of(path)
    assert (last["held"], last["location"], last["at"], last["size"]) == ("tar", str(path), -1, None)
    assert last["path"] == f"{path}#{last['track'].partition('/')[2]}"
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        f"{path} is {last['track'].partition('(')[2].rstrip(')')}"
    ]
    return [row["track"].removeprefix("t/") for row in [*rows, last]]


def test_a_tar_cut_in_half_gives_what_is_before_the_cut_and_a_row_for_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", b"x" * 3000) for i in range(9)])
    whole = path.read_bytes()
    # Header and six blocks of data: a member has 3584 bytes.
    for cut, listed in ((0, 0), (100, 0), (3584 * 4, 4), (3584 * 4 + 1, 4), (3584 * 4 + 2000, 5), (3584 * 9, 9)):
        path.write_bytes(whole[:cut])
        assert damage_of(path, caplog) == [*[f"{i}.wav" for i in range(listed)], f"(damaged after {listed} members)"]


def test_a_damaged_header_ends_the_list(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", b"x" * 3000) for i in range(9)])
    data = bytearray(path.read_bytes())
    data[3584 * 3 + 5] ^= 0xFF
    path.write_bytes(data)
    assert damage_of(path, caplog) == ["0.wav", "1.wav", "2.wav", "(damaged after 3 members)"]


CHAIN = b"".join(header("x", 20, tarfile.XHDTYPE) + b"20 comment=12345678\n".ljust(BLOCK, b"\0") for _ in range(2000))


@pytest.mark.parametrize(
    ("after", "listed"),
    [
        (with_size(header("b.wav"), b"77777777777\0") + b"x" * BLOCK, ["b.wav"]),
        (with_size(header("b.wav"), b"\x80" + b"\x7f" * 11) + b"x" * BLOCK, ["b.wav"]),
        (with_size(header("b.wav"), b"\xff" * 11 + b"\x00"), []),
        (with_size(header("b.wav"), b"\xff" + b"\x00" * 11), []),
        (with_size(header("b.wav"), b"not a number"), []),
        (header("b.wav", 100) + header("c.wav", 100), ["b.wav"]),
        (header("pax", 20, tarfile.XHDTYPE) + b"0 path=b.wav\n".ljust(BLOCK, b"\0") + header("b.wav"), []),
        (CHAIN, []),
        (b"noise" * 1000, []),
    ],
    ids=[
        "8 GB claimed", "2^90 bytes claimed", "a negative size", "a very negative size", "no number", "data is missing",
        "a record of no length", "headers without end", "noise",
    ],
)  # fmt: skip
def test_headers_that_lie_cost_only_what_follows_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, after: bytes, listed: list[str]
) -> None:
    path = tmp_path / "t.tar"
    path.write_bytes(header("a.wav", 3) + b"abc".ljust(BLOCK, b"\0") + after)
    assert damage_of(path, caplog) == ["a.wav", *listed, f"(damaged after {1 + len(listed)} members)"]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_of_8_gb_is_not_read_into_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: bytes) -> None:
    path = tmp_path / "t.tar"
    path.write_bytes(with_size(header("name", 0, kind), b"77777777777\0"))
    # As long as it claims to be, without taking room.
    os.truncate(path, 9 << 30)
    assert damage_of(path, caplog) == ["(damaged after 0 members)"]
    assert "a header claims 8589934592 bytes" in caplog.text


@given(st.lists(st.tuples(st.integers(0, 6 * BLOCK), st.integers(0, 255)), max_size=8), st.integers(0, 6 * BLOCK))
def test_any_damage_gives_rows_that_can_be_told(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("tars") / "t.tar"
    data = bytearray(write_tar(path, [("語" * 40 + ".wav", b"x" * 600), ("b.wav", b"y")]).read_bytes())
    for at, value in changes:
        data[at] = value
    path.write_bytes(data[: len(data) - cut] if cut % 3 == 0 else data)
    rows = [row for part in tars.read(str(path)) for row in part.batch.to_pylist()]
    assert all(row["at"] >= 0 and row["size"] >= 0 for row in rows[:-1])


@pytest.mark.parametrize("magic", [gzip.compress(b"x" * 2000), b"BZh91AY&SY", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"])
def test_a_compressed_tar_is_refused_whatever_it_is_called(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "t.tar").write_bytes(magic)
    assert "cannot be read in parts: give the plain .tar" in refused(tmp_path / "t.tar")
    (tmp_path / "t.tar.gz").write_bytes(magic)
    assert "t.tar.gz is compressed and cannot be read in parts" in refused(tmp_path / "t.tar.gz")


def test_a_tar_without_recordings_is_a_mistake(tmp_path: Path) -> None:
    assert "no recording in" in refused(write_tar(tmp_path / "t.tar", [("a.txt", b"x")]))


def test_a_tar_that_stops_answering_is_not_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", b"x" * 30_000) for i in range(9)])
    plain = storage.open_input

    class Failing:
        def __init__(self, path: str) -> None:
            self.file = plain(path)

        def read_at(self, count: int, at: int) -> bytes:
            if at > 100_000:
                raise OSError("AWS Error NETWORK_CONNECTION")
            return self.file.read_at(count, at)

        def size(self) -> int:
            return self.file.size()

        def __enter__(self) -> "Failing":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    monkeypatch.setattr(storage, "open_input", Failing)
    assert "NETWORK_CONNECTION" in refused(path)
