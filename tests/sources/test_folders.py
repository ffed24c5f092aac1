"""Folders and bucket prefixes: recordings, shards and tables at any depth."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import storage
from synatt.inputs import from_folder
from synatt.sources import folders, read_rows
from tests.inputrows import refused, rows_of, tracks_of, write_tar


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_a_row_per_recording_named_by_its_place_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "in", "b.wav", "deep/a.WAV", "deep/er/c.mp3", "notes.txt", ".hidden.wav", ".h/x.wav", "a.flac")
    monkeypatch.chdir(tmp_path)
    rows = rows_of("in")
    assert [row["track"] for row in rows] == ["a.flac", "b.wav", "deep/a.WAV", "deep/er/c.mp3"]
    assert [row["path"] for row in rows] == [f"{tmp_path}/in/{row['track']}" for row in rows]
    assert all(row["location"] == row["path"] and row["held"] is None for row in rows)


def test_a_stream_has_what_the_manifest_of_a_folder_has(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "deep/a.WAV", "deep/Zoë 語音 🎙.ogg", "B/x.wav", "new\nline.wav")
    whole = from_folder(str(tmp_path))
    pairs = zip(whole.column("track"), whole.column("path"), strict=True)
    assert sorted((row["track"], row["path"]) for row in rows_of(tmp_path)) == sorted(pairs)


def test_a_name_that_is_not_utf_8_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "ok.wav", "\udcff.wav")
    with caplog.at_level(logging.WARNING, "synatt"):
        assert tracks_of(tmp_path) == ["ok.wav"]
    assert "1 file names are not UTF-8 and are left out, first \\xff.wav" in caplog.text


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert tracks_of(tmp_path) == ["a/x.wav"]


def test_a_prefix_in_a_bucket_is_a_folder() -> None:
    for name in ("day/b.wav", "day/deep/a.wav", "day/x.txt", "other/z.wav"):
        storage.write_text(f"memory://clips/{name}", "x")
    rows = rows_of("memory://clips/day")
    assert [row["track"] for row in rows] == ["b.wav", "deep/a.wav"]
    assert [row["location"] for row in rows] == ["memory://clips/day/b.wav", "memory://clips/day/deep/a.wav"]


def test_a_folder_is_read_in_batches_in_the_order_of_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "BATCH_ROWS", 4)
    touch(tmp_path, *[f"{d}/{i}.wav" for d in "cab" for i in range(3)])
    assert [part.batch.num_rows for part in folders.read(str(tmp_path))] == [4, 4, 1]
    assert tracks_of(tmp_path) == [f"{d}/{i}.wav" for d in "abc" for i in range(3)]


def test_shards_lie_beside_loose_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "z.wav", "deep/b.wav")
    for name in ("m.tar", "deep/m.TAR"):
        write_tar(tmp_path / name, [("1.wav", b"x"), ("1.txt", b"y"), ("2.flac", b"z")])
    assert tracks_of(tmp_path) == [
        "a.wav",
        "m/1.wav",
        "m/2.flac",
        "z.wav",
        "deep/b.wav",
        "deep/m/1.wav",
        "deep/m/2.flac",
    ]
    assert rows_of(tmp_path)[1]["path"] == f"{tmp_path}/m.tar#1.wav"


@pytest.mark.parametrize("name", ["x.tar.gz", "deep/x.tgz", "x.TAR.BZ2"])
def test_a_compressed_shard_among_recordings_is_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.wav", name)
    assert f"{name} is compressed and cannot be read in parts" in refused(tmp_path)


def test_tables_with_audio_count_where_nothing_else_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in" / "data").mkdir(parents=True)
    for name in ("train-0", "train-1"):
        pq.write_table(pa.table({"bytes": [b"x", b"y"]}), tmp_path / "in" / "data" / f"{name}.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "in" / "about.parquet")
    with caplog.at_level(logging.WARNING, "synatt"):
        assert tracks_of(tmp_path / "in") == [f"data/train-{i}.parquet#{row}" for i in (0, 1) for row in (0, 1)]
    assert "about.parquet has no column with audio and is left out" in caplog.text
    assert [part.together for part in read_rows([str(tmp_path / "in")])] == [True, True]
    touch(tmp_path / "in", "a.wav")
    assert tracks_of(tmp_path / "in") == ["a.wav"]


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("PAR1 no")
    assert "x.parquet is not a readable table" in refused(tmp_path)


def test_a_folder_without_recordings_is_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", "list.lst")
    assert refused(tmp_path).startswith(f"no recording in {tmp_path}")
