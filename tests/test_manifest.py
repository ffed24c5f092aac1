"""The manifest: round trips, keys that stay text, and one line for whatever breaks it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt import manifest
from synatt.manifest import Manifest, ManifestError, build, concat, read, soft_labels, targets, write

CLASSES = ("a", "b", "unknown")
COLUMNS = ["track", "path", "label", "p", "source", "speaker", "generator", "part", "split", "fold"]


def row(track: str = "x", **more: object) -> dict[str, object]:
    return {"track": track, "path": f"{track}.wav", **more}


def refused(call: object, *args: object) -> str:
    with pytest.raises(ManifestError) as caught:
        call(*args)  # type: ignore[operator]
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_manifest_has_all_columns_with_the_types_of_the_contract() -> None:
    found = build([row()], CLASSES).table
    assert found.column_names == COLUMNS
    text = ("track", "path", "source", "speaker", "generator", "split")
    assert {name: found.schema.field(name).type for name in COLUMNS} == {
        **dict.fromkeys(text, pa.string()),
        **dict.fromkeys(("label", "part", "fold"), pa.int8()),
        "p": pa.list_(pa.float32(), 3),
    }
    assert build([], CLASSES).table.schema.equals(found.schema)
    assert len(build([], None)) == 0


def test_a_parquet_manifest_comes_back_with_its_class_names(tmp_path: Path) -> None:
    made = build([row("0001", label=1, speaker="s", part=2, mos=4.5), row("0002", p=[0.2, 0.3, 0.5])], CLASSES)
    path = str(tmp_path / "m.parquet")
    write(path, made)
    found = read(path)
    assert found.classes == CLASSES
    assert found.table.equals(made.table)
    assert found.column("mos") == [4.5, None]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    assert read(path, ("other", "unknown")).classes == CLASSES


def test_a_folder_with_a_manifest_is_read(tmp_path: Path) -> None:
    write(str(tmp_path / "manifest.parquet"), build([row()], None))
    assert read(str(tmp_path)).column("track") == ["x"]


CSV = "track,path,label,speaker,note\n0001,0001.wav,1,007,é\n1e5,b.wav,,,\n"
JSONL = """{"track": "0001", "path": "0001.wav", "label": 1, "speaker": "007", "note": "é"}
{"track": "1e5", "path": "b.wav", "label": null, "p": [0.5, 0.25, 0.25]}
"""


@pytest.mark.parametrize(("name", "text"), [("m.csv", CSV), ("m.jsonl", JSONL), ("M.JSONL", JSONL)])
def test_a_track_called_0001_is_a_name_not_a_number(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read(str(tmp_path / name), CLASSES)
    assert found.column("track") == ["0001", "1e5"]
    assert found.column("speaker") == ["007", None]
    assert found.column("label") == [1, None]
    assert found.column("note")[0] == "é"
    assert found.classes == CLASSES


def test_a_track_called_like_a_day_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"track": "2020-01-01", "path": "12:30:00", "split": "2021-01-01"}\n')
    found = read(str(tmp_path / "m.jsonl"))
    assert [found.column(name) for name in ("track", "path", "split")] == [["2020-01-01"], ["12:30:00"], ["2021-01-01"]]


def test_soft_labels_come_from_json_lines(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(JSONL, encoding="utf-8")
    assert read(str(tmp_path / "m.jsonl"), CLASSES).column("p") == [None, [0.5, 0.25, 0.25]]


def test_rows_may_come_from_a_data_frame_with_gaps() -> None:
    frame = pd.DataFrame({"track": ["x", "y"], "path": ["a", "b"], "label": [1.0, np.nan]})
    assert build(frame, CLASSES).column("label") == [1, None]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(NAMES, unique=True, max_size=8), st.data())
def test_any_rows_come_back_from_parquet(tracks: list[str], data: st.DataObject) -> None:
    rows = [
        row(t, label=data.draw(st.none() | st.integers(0, 2)), speaker=data.draw(st.none() | NAMES)) for t in tracks
    ]
    made = build(rows, CLASSES)
    sink = pa.BufferOutputStream()
    pq.write_table(made.table, sink)
    assert pq.read_table(pa.BufferReader(sink.getvalue())).equals(made.table)
    assert made.column("track") == tracks
    assert made.column("label") == [r["label"] for r in rows]


@given(
    st.lists(NAMES.filter(lambda t: not set(t) & set('\r\n",') and t.strip() == t), unique=True, min_size=1, max_size=8)
)
def test_any_names_come_back_from_csv(tracks: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.csv"
        path.write_bytes(("track,path\n" + "".join(f"{t},p\n" for t in tracks)).encode())
        assert read(str(path)).column("track") == tracks


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"path": "x"}], "no column 'track'; it has path"),
        ([{"track": "x"}], "no column 'path'"),
        ([{"track": None, "path": "x"}], "without a track name"),
        ([{"track": "", "path": "x"}], "without a track name"),
        ([{"track": "x", "path": None}], "without a path"),
        ([row(), row(), row("y"), row("y")], "'x' stands more than once in the manifest (2 such tracks)"),
        ([row(label=3)], "label 3 is outside 0..2 (a, b, unknown)"),
        ([row(label=-1)], "label -1 is outside 0..2"),
        ([row(label=300)], "'label' is not int8"),
        ([row(label=0.5)], "'label' is not int8"),
        ([row(label="b")], "'label' is not int8"),
        ([row(p=[0.5, 0.5, 0.5])], "sum to 1"),
        ([row(p=[1.5, -0.5, 0.0])], "sum to 1"),
        ([row(p=[float("nan"), 0.5, 0.5])], "sum to 1"),
        ([row(p=[0.5, 0.5])], "'p' is not"),
        ([row(p="half")], "'p' is not"),
        ([{"track": 1, "path": "x"}, row("y")], "'track' mixes types"),
    ],
)
def test_rows_that_break_the_schema_are_one_line(rows: list[dict[str, object]], says: str) -> None:
    assert says in refused(build, rows, CLASSES)


def test_soft_labels_without_class_names_must_still_agree() -> None:
    assert build([row(p=[0.5, 0.5])], None).column("p") == [[0.5, 0.5]]
    assert "as many numbers" in refused(build, [row(p=[0.5, 0.5]), row("y", p=[1.0])], None)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.csv", b"", "not a readable manifest"),
        ("m.csv", b"track,path\nx\n", "not a readable manifest"),
        ("m.csv", b"track,path,path\nx,y,z\n", "more than one column 'path'"),
        ("m.csv", b"track,path\nx,a\nx,b\n", "'x' stands more than once"),
        ("m.csv", b"name,file\nx,y\n", "no column 'track'; it has name, file"),
        ("m.csv", b"track,path\n\xff,y\n", "m.csv"),
        ("m.jsonl", b"", "not a readable manifest"),
        ("m.jsonl", b"{", "not a readable manifest"),
        ("m.jsonl", b'{"track": 1, "path": "x"}', "/track"),
        ("m.parquet", b"PAR1 no", "not a Parquet table"),
        ("m.txt", b"x", "a manifest ends in .parquet, .csv, .jsonl"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    from synatt.errors import UsageError

    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says.replace("/", ".")) as caught:
        read(str(tmp_path / name), CLASSES)
    assert len(str(caught.value).splitlines()) == 1


def test_targets_are_soft_labels_then_labels_then_nothing() -> None:
    made = build([row("x", label=1), row("y", p=[0.2, 0.3, 0.5], label=0), row("z")], CLASSES)
    found = targets(made, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 1, 0], [0.2, 0.3, 0.5], [np.nan] * 3], atol=1e-7)
    assert soft_labels(made).tolist() == [pytest.approx([0.2, 0.3, 0.5])]
    assert soft_labels(build([], CLASSES)).shape == (0, 3)


def test_concat_keeps_all_rows_and_columns() -> None:
    one = build([row("x", label=1, mos=3.0)], CLASSES)
    found = concat([one, build([row("y", note="n")], None), build([], None)])
    assert found.classes == CLASSES
    assert found.column("track") == ["x", "y"]
    assert (found.column("mos"), found.column("note")) == ([3.0, None], [None, "n"])
    assert found.table.schema.field("p").type == pa.list_(pa.float32(), 3)


def test_manifests_of_different_classes_are_not_mixed() -> None:
    one, other = build([row("x")], CLASSES), build([row("y")], ("c", "unknown"))
    assert "disagree on the classes: a, b, unknown / c, unknown" in refused(concat, [one, other])
    assert "'x' stands more than once" in refused(concat, [one, one])


def test_rows_are_chosen_by_a_mask() -> None:
    made = build([row("x", label=0), row("y"), row("z", label=2)], CLASSES)
    found = made.where(np.array([True, False, True]))
    assert isinstance(found, Manifest)
    assert (found.column("track"), found.classes, len(found)) == (["x", "z"], CLASSES, 2)


def test_problems_are_a_table_even_when_there_are_none() -> None:
    rows: list[dict[str, str | None]] = [{"kind": "missing", "track": "x", "path": None, "detail": "gone"}]
    for given_rows in ([], rows):
        assert manifest.problems_table(given_rows).to_pylist() == given_rows
        assert manifest.problems_table(given_rows).schema.equals(manifest.PROBLEMS)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_reading_text_leaves_no_thread_of_arrows_pool_that_could_abort_a_process_that_ends(
    tmp_path: Path, name: str
) -> None:
    texts = {"m.csv": "track,path,label\na,/a.wav,x\n", "m.jsonl": '{"track": "a", "path": "/a.wav", "label": "x"}\n'}
    (tmp_path / name).write_text(texts[name])
    code = (
        "import os, sys, pyarrow.csv, pyarrow.json\n"
        "from synatt import manifest\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = count()\n"
        "try: manifest.read(sys.argv[1])\n"
        "except manifest.ManifestError: print(count() - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # One thread that reads the file; as many as there are cores would parse it.
    assert int(done.stdout) <= 1
