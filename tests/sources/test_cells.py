"""Parquet tables that hold the recordings themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt.sources import read_rows
from tests.inputrows import refused, rows_of, tracks_of

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def put(path: Path, columns: dict[str, Any], rows_per_group: int = 100) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
    return path


def cells(n: int) -> list[bytes]:
    return [f"audio {i}".encode() for i in range(n)]


def test_the_struct_of_hugging_face_gives_rows_named_by_its_path(tmp_path: Path) -> None:
    audio = pa.array([{"bytes": b"x", "path": "a.wav"}, {"bytes": b"y", "path": None}, None], AUDIO)
    path = put(tmp_path / "train-0.parquet", {"audio": audio, "text": ["p", "q", "r"], "source": ["s", None, None]})
    assert rows_of(path) == [
        {"track": track, "path": shown, "source": s, "location": str(path), "held": "parquet", "at": at, "size": None}
        for at, (track, shown, s) in enumerate(
            [
                ("a.wav", "a.wav", "s"),
                ("train-0.parquet#1", f"{path}#row=1", None),
                ("train-0.parquet#2", f"{path}#row=2", None),
            ]
        )
    ]


@pytest.mark.parametrize("column", ["bytes", "audio"])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_binary_column_gives_rows_named_by_file_and_number(tmp_path: Path, column: str, kind: pa.DataType) -> None:
    path = put(tmp_path / "x.parquet", {column: pa.array(cells(3), kind)})
    assert [(row["track"], row["path"], row["at"]) for row in rows_of(path)] == [
        (f"x.parquet#{i}", f"{path}#row={i}", i) for i in range(3)
    ]


@pytest.mark.parametrize(
    ("columns", "tracks"),
    [
        ({"track": ["0001", "b"], "id": [1, 2]}, ["0001", "b"]),
        ({"id": [1, 2]}, ["1", "2"]),
        ({"id": ["u", "v"], "path": ["/x", None]}, ["u", "v"]),
    ],
)
def test_a_key_column_names_the_rows(tmp_path: Path, columns: dict, tracks: list[str]) -> None:
    path = put(tmp_path / "x.parquet", {"bytes": cells(2), **columns})
    assert tracks_of(path) == tracks
    given = columns.get("path", [None, None])
    assert [row["path"] for row in rows_of(path)] == [p or f"{path}#row={i}" for i, p in enumerate(given)]


def test_a_path_given_for_a_cell_is_shown_without_its_secrets(tmp_path: Path) -> None:
    path = put(tmp_path / "x.parquet", {"bytes": cells(1), "path": ["s3://KEY:SECRET@bucket/x.wav"]})
    assert rows_of(path)[0]["path"] == "s3://bucket/x.wav"


def test_the_rows_of_a_row_group_stay_together_and_are_numbered_through(tmp_path: Path) -> None:
    path = put(tmp_path / "x.parquet", {"bytes": cells(25)}, rows_per_group=10)
    parts = list(read_rows([str(path)]))
    assert [(part.batch.num_rows, part.together) for part in parts] == [(10, True), (10, True), (5, True)]
    assert [row["at"] for row in rows_of(path)] == list(range(25))


def test_the_audio_itself_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synatt import storage

    noise = [np.random.default_rng(i).bytes(1 << 20) for i in range(8)]
    path = put(tmp_path / "x.parquet", {"bytes": noise, "id": range(8)}, rows_per_group=2)
    files = []
    plain = storage.open_input

    class Counting:
        def __init__(self, path: str) -> None:
            self.file, self.closed, self.count = plain(path), False, 0
            files.append(self)

        def read(self, size: int = -1) -> bytes:
            data = self.file.read(size)
            self.count += len(data)
            return data

        def __enter__(self) -> "Counting":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(storage, "open_input", Counting)
    assert len(rows_of(path)) == 8
    assert 0 < sum(file.count for file in files) < 100_000


@pytest.mark.parametrize("key", ["track", "id"])
def test_a_row_without_a_key_is_refused(tmp_path: Path, key: str) -> None:
    path = put(tmp_path / "x.parquet", {"bytes": cells(3), key: ["a", None, "c"]}, rows_per_group=1)
    assert "without a track name: 1 of the first 2, first row 2" in refused(path)


def test_a_manifest_whose_audio_column_is_text_is_a_manifest(tmp_path: Path) -> None:
    path = put(tmp_path / "m.parquet", {"track": ["x"], "path": ["/x.wav"], "audio": ["x.wav"]})
    assert [(row["held"], row["location"]) for row in rows_of(path)] == [(None, "/x.wav")]
