"""A table beside the audio fills what the layout does not say, and changes nothing else."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest

from synatt import manifest
from synatt.datasets.collect import collect
from synatt.datasets.metadata import with_metadata
from synatt.datasets.options import Options
from synatt.datasets.tables import TableError


@pytest.fixture
def rows() -> manifest.Manifest:
    made = [
        {"track": "set/a.wav", "path": "/data/a.wav", "label": 0, "speaker": "own", "split": "train", "fold": 3},
        {"track": "set/b.wav", "path": "/data/b.wav", "label": 1, "p": [0.5, 0.5], "split": "train"},
        {"track": "set/c.wav", "path": "/data/c.wav", "split": "eval", "part": 1},
    ]
    return manifest.build(made, ("x", "unknown"))


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_rows_are_found_by_track_or_file_name_and_only_gaps_are_filled(rows: manifest.Manifest, tmp_path: Path) -> None:
    text = (
        'track,voice,generator,text,label\na.wav,v1,gA,Hello there,1\nset/b.wav,v2,,"One, two",0\nz.wav,v9,gZ,None,1\n'
    )
    filled, spoken = with_metadata(rows, [write(tmp_path / "m.csv", text)])
    table = filled.table
    assert spoken == 2
    assert table.column("speaker").to_pylist() == ["own", "v2", None]
    assert table.column("generator").to_pylist() == ["gA", None, None]
    assert table.column("text").to_pylist() == ["Hello there", "One, two", None]
    for name in ("track", "path", "label", "p", "split", "fold", "part"):
        assert table.column(name) == rows.table.column(name), name
    assert filled.classes == rows.classes and "voice" in table.column_names


def test_parquet_and_several_tables(rows: manifest.Manifest, tmp_path: Path) -> None:
    pd.DataFrame({"track": ["a.wav", "c.wav"], "snr_db": [3.5, None]}).to_parquet(tmp_path / "m.parquet")
    other = write(tmp_path / "n.csv", "track,generator\nc.wav,new\n")
    filled, spoken = with_metadata(rows, [str(tmp_path / "m.parquet"), other])
    assert spoken == 2 and filled.table.column("snr_db").to_pylist() == ["3.5", None, None]
    assert filled.table.column("generator").to_pylist() == [None, None, "new"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,voice\na.wav,v\n", "has no column 'track'"),
        ("track,voice\na.wav,v\na.wav,w\n", "names 1 tracks twice, first a.wav"),
        ("track,voice\nq.wav,v\n", "speaks of none of the 3 tracks"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(rows: manifest.Manifest, tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TableError, match=says):
        with_metadata(rows, [write(tmp_path / "m.csv", text)])


@pytest.mark.parametrize("layout", ["spcup", "folder"])
def test_folds_hold_voices_apart_where_a_table_names_them_and_other_sets_keep_theirs(
    tmp_path: Path, put: Callable[[Path, Iterable[str]], None], data: Path, layout: str
) -> None:
    # Neither layout knows who speaks. Class 0 has five voices, class 1 two; others are unknown.
    own = tmp_path / "own"
    tracks = [f"{c}{i:02d}.wav" for c in range(6) for i in range(10)]
    if layout == "spcup":
        put(own, tracks)
        write(own / "labels.csv", "\n".join(["track,algorithm", *(f"{t},{t[0]}" for t in tracks), ""]))
    else:
        put(own, [f"{('algorithm_' + t[0]) if t[0] != '5' else 'unknown'}/{t}" for t in tracks])
    said = [f"0{i:02d}.wav,v{i % 5}" for i in range(10)] + [f"1{i:02d}.wav,w{i % 2}" for i in range(10)]
    table = write(tmp_path / "m.csv", "\n".join(["track,voice", *said, ""]))
    inputs = [str(own), str(data / "vctk-sr16k-dataset")]
    plain, named = (collect(inputs, ["auto", "auto"], Options(metadata=m)).manifest for m in ((), (table,)))
    assert plain is not None and named is not None
    assert plain.column("track") == named.column("track")
    frame, before = named.table.to_pandas(), plain.table.to_pandas()["fold"]
    assert (frame["fold"].notna() & before.notna()).all()
    folds = {voice: rows["fold"].unique().tolist() for voice, rows in frame.groupby("voice")}
    assert sorted(folds[f"v{i}"][0] for i in range(5)) == [0, 1, 2, 3, 4]
    assert [len(folds[f"v{i}"]) for i in range(5)] == [1] * 5
    assert all(len(folds[voice]) > 1 for voice in ("w0", "w1"))
    other = frame["source"] == "vctk"
    assert other.any() and frame["fold"][other].equals(before[other])
