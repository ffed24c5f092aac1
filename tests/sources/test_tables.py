"""Manifests as streams: the same rows from every format, text that stays text, and memory that does not grow."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import manifest, storage
from synatt.manifest import ManifestError
from synatt.sources import tables
from tests.inputrows import refused, rows_of, tracks_of

ROOT = Path(__file__).parent.parent.parent

ROWS = [
    {"track": "0001", "path": "/clips/0001.wav", "source": "a", "label": 1, "note": "x"},
    {"track": "1e5", "path": "s3://bucket/Zoë 語音 🎙.flac", "source": None, "label": None, "note": None},
    {"track": "2020-01-01", "path": "/clips/12:30:00", "source": "true", "label": 0, "note": '"'},
    {"track": "line\nbreak", "path": "/clips/a,b.wav", "source": "007", "label": None, "note": "y"},
]


@pytest.fixture(params=["parquet", "csv", "jsonl", "CSV"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same four rows in each format."""
    path = tmp_path / f"m.{request.param}"
    frame = pd.DataFrame(ROWS).astype({"label": "Int8"})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), "utf-8")
    else:
        frame.to_csv(path, index=False)
    return path


def test_every_format_gives_the_same_rows(table: Path) -> None:
    rows = rows_of(table)
    for name in ("track", "path", "source"):
        assert [row[name] for row in rows] == [row[name] for row in ROWS]
    assert all(row["location"] == row["path"] for row in rows)
    assert all((row["held"], row["at"], row["size"]) == (None, None, None) for row in rows)


def test_a_stream_reads_what_the_whole_manifest_holds(table: Path) -> None:
    whole = manifest.read(str(table), ("a", "unknown"))
    assert tracks_of(table) == whole.column("track")
    assert [row["source"] for row in rows_of(table)] == whole.column("source")


def test_a_manifest_of_prepare_is_read_with_its_sources(tmp_path: Path) -> None:
    made = manifest.build([{"track": "x", "path": "y.wav", "label": 1, "source": "s"}], ("a", "unknown"))
    manifest.write(str(tmp_path / "manifest.parquet"), made)
    assert [(row["track"], row["path"], row["source"]) for row in rows_of(tmp_path)] == [("x", "y.wav", "s")]


def test_a_relative_path_is_shown_as_it_is_and_opened_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text("track,path\nx,in/x.wav\ny,/y.wav\nz,s3://b/z.wav\n")
    assert [(row["path"], row["location"]) for row in rows_of("m.csv")] == [
        ("in/x.wav", f"{tmp_path}/in/x.wav"),
        ("/y.wav", "/y.wav"),
        ("s3://b/z.wav", "s3://b/z.wav"),
    ]


def test_a_secret_in_a_path_is_opened_with_but_not_shown(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("track,path\nx,s3://KEY:SECRET@bucket/x.wav\ny,/y.wav\n")
    rows = rows_of(tmp_path / "m.csv")
    assert [row["location"] for row in rows] == ["s3://KEY:SECRET@bucket/x.wav", "/y.wav"]
    assert [row["path"] for row in rows] == ["s3://bucket/x.wav", "/y.wav"]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
def test_text_may_be_stored_in_any_way(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["0001", "b"])
    column = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts.cast(kind)
    pq.write_table(pa.table({"track": column, "path": column}), tmp_path / "m.parquet")
    assert tracks_of(tmp_path / "m.parquet") == ["0001", "b"]


def test_numbers_as_keys_become_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"track": [7, 8], "path": ["x", "y"]}), tmp_path / "m.parquet")
    assert tracks_of(tmp_path / "m.parquet") == ["7", "8"]


def test_a_manifest_in_a_bucket_is_streamed() -> None:
    storage.write_text("memory://tables/m.jsonl", '{"track": "x", "path": "s3://b/x"}\n')
    storage.write_text("memory://tables/m.csv", "track,path\nx,s3://b/x\n")
    assert rows_of("memory://tables/m.jsonl") == rows_of("memory://tables/m.csv")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.csv", "", "is not a readable table"),
        ("m.csv", "track,path\nx\n", "is not a readable table"),
        ("m.csv", "track,path,path\nx,y,z\n", "more than one column 'path'"),
        ("m.csv", "name,file\nx,y\n", "no column 'track'; it has name, file"),
        ("m.csv", "track\nx\n", "no column 'path'; it has track"),
        ("m.csv", "track,path\nx,y\n,z\nw,\n,v\n", "without a track name: 2 of the first 4, first row 2"),
        ("m.csv", "track,path\nx,y\nz,\n", "without a path: 1 of the first 2, first row 2"),
        ("m.jsonl", "", "is not a readable table"),
        ("m.jsonl", "{", "is not a readable table"),
        ("m.jsonl", '{"track": 1, "path": "x"}\n', "/track"),
        ("m.jsonl", '{"track": "x"}\n', "without a path: 1 of the first 1, first row 1"),
        ("m.jsonl", '{"name": "x", "path": "y"}\n', "without a track name: 1 of the first 1"),
        ("m.parquet", "PAR1 no", "is not a readable table"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    assert says in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"path": ["x"]}, "no column 'track'; it has path"),
        ({"track": ["x", None], "path": ["x", "y"]}, "without a track name: 1 of the first 2, first row 2"),
        ({"track": ["x", ""], "path": ["x", "y"]}, "without a track name: 1 of the first 2, first row 2"),
        ({"track": ["x", "y"], "path": [None, "y"]}, "without a path: 1 of the first 2, first row 1"),
        ({"track": [["x"]], "path": ["x"]}, "'track' is not string"),
    ],
)
def test_a_parquet_manifest_that_cannot_be_used_is_one_line(tmp_path: Path, columns: dict, says: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert says in refused(tmp_path / "m.parquet")


def test_a_missing_key_is_counted_from_the_start_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 10)
    tracks = [None if i == 25 else str(i) for i in range(40)]
    pq.write_table(pa.table({"track": tracks, "path": ["x"] * 40}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="1 of the first 30, first row 26"):
        list(tables.read(str(tmp_path / "m.parquet")))


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A million rows: their text is 110 MB, of which a few MB are held at a time."""
    digits = [f"{i:05d}" for i in range(100_000)]
    with pq.ParquetWriter(tmp_path / "m.parquet", pa.schema([("track", pa.string()), ("path", pa.string())])) as out:
        for tenth in range(10):
            tracks = [f"{tenth}0f3e2a1-7c64-4bd1-9f00-{d}0000000" for d in digits]
            paths = [f"s3://bucket/clips/2026/11/{d[:2]}/{t}.flac" for d, t in zip(digits, tracks, strict=True)]
            out.write_table(pa.table({"track": tracks, "path": paths}))
    code = (
        "import resource, sys; import pyarrow as pa; from synatt.sources import read_rows\n"
        "peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "rows = 0\n"
        "for part in read_rows(sys.argv[1:]):\n"
        "    rows += part.batch.num_rows\n"
        "    early = peak_mb() if rows <= 300_000 else early\n"
        "print(rows, pa.default_memory_pool().max_memory() / 1e6, peak_mb() - early)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.parquet")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows, held_mb, grown_mb = map(float, done.stdout.split())
    assert rows == 1_000_000
    assert held_mb < 60
    assert grown_mb < 20


@pytest.mark.parametrize(("name", "content"), [("m.csv", "track,path\n"), ("m.parquet", None)])
def test_a_manifest_without_rows_is_an_empty_job(tmp_path: Path, name: str, content: str | None) -> None:
    path = tmp_path / name
    if content is None:
        pq.write_table(pa.table({"track": pa.array([], pa.string()), "path": pa.array([], pa.string())}), path)
    else:
        path.write_text(content)
    assert rows_of(path) == []
