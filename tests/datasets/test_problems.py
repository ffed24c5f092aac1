"""What does not fit is named, and costs its own row only."""

import os
from pathlib import Path

import pytest

from synatt import storage
from synatt.datasets import Options, prepare
from synatt.datasets.collect import ClassesError, Collected, ProblemsError, collect
from synatt.datasets.listing import LayoutError
from synatt.datasets.tables import TableError
from synatt.errors import UsageError


def spcup(folder: Path, put, rows: list[str], audio: list[str]) -> Path:
    put(folder, audio)
    (folder / "labels.csv").write_text("\n".join(["track,algorithm", *rows, ""]), encoding="utf-8")
    return folder


def read(folder: Path, layout: str = "auto", **options) -> Collected:
    return collect([str(folder)], [layout], Options(**options))


def told(found: Collected) -> list[tuple[str, str]]:
    return [(row["kind"], row["track"]) for row in found.problems.to_pylist()]


def tracks(found: Collected) -> list[str]:
    return sorted(found.manifest.column("track")) if found.manifest else []


def test_a_label_without_a_file_is_dropped(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", "gone.wav,1"], ["a.wav"]))
    assert told(found) == [("label_without_file", "gone.wav")]
    assert tracks(found) == ["a.wav"]


def test_a_file_without_a_label_is_reported_with_its_path(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0"], ["a.wav", "b.wav"]))
    assert told(found) == [("file_without_label", "b.wav")]
    assert found.problems.column("path").to_pylist() == [str(tmp_path / "set" / "b.wav")]


@pytest.mark.parametrize("label", ["6", "-1", "", "tacotron", "1.5", "nan"])
def test_an_unknown_label_is_one_problem_and_drops_one_row(tmp_path: Path, put, label: str) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", f"b.wav,{label}"], ["a.wav", "b.wav"]))
    assert told(found) == [("unknown_label", "b.wav")]
    assert tracks(found) == ["a.wav"]
    assert repr(label) in found.problems.column("detail")[0].as_py()


def test_an_unknown_label_without_a_file_is_still_one_problem(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", "gone.wav,9"], ["a.wav"]))
    assert told(found) == [("label_without_file", "gone.wav")]


def test_labels_may_be_class_names_or_floats(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,algorithm_3", "b.wav,2.0"], ["a.wav", "b.wav"]))
    assert found.manifest is not None
    assert dict(zip(found.manifest.column("track"), found.manifest.column("label"), strict=True)) == {
        "a.wav": 3,
        "b.wav": 2,
    }


def test_a_track_that_stands_twice_with_one_label_is_kept_once(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", "b.wav,1", "a.wav,0", "a.wav,0"], ["a.wav", "b.wav"]))
    assert told(found) == [("duplicate_track", "a.wav")] * 2
    assert tracks(found) == ["a.wav", "b.wav"]


def test_contradicting_labels_drop_every_row_of_the_track(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", "b.wav,1", "a.wav,2"], ["a.wav", "b.wav"]))
    assert told(found) == [("duplicate_track", "a.wav")] * 2
    assert tracks(found) == ["b.wav"]
    assert "algorithm_0, algorithm_2" in found.problems.column("detail")[0].as_py()


def test_one_file_under_two_names_is_a_duplicate(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a.wav,0", "a,0"], ["a.wav"]))
    assert told(found) == [("duplicate_track", "a")]


def test_an_evaluation_track_goes_before_a_training_track_of_the_same_name(tmp_path: Path, put) -> None:
    spcup(tmp_path / "set" / "train", put, ["a.wav,0", "b.wav,1"], ["a.wav", "b.wav"])
    put(tmp_path / "set" / "eval_part1", ["a.wav"])
    (tmp_path / "set" / "eval_part1" / "labels_eval_part1.csv").write_text("track\na.wav\n")
    found = read(tmp_path / "set")
    assert told(found) == [("duplicate_track", "a.wav")]
    assert found.manifest is not None
    rows = {r["track"]: r for r in found.manifest.table.to_pylist()}
    assert rows["a.wav"]["split"] == "eval" and rows["b.wav"]["split"] == "train"


def test_a_name_that_several_files_fit_labels_none_of_them(tmp_path: Path, put) -> None:
    found = read(spcup(tmp_path / "set", put, ["a,0", "b.wav,1"], ["a.wav", "a.flac", "b.wav"]))
    assert told(found) == [("ambiguous_file", "a")]
    assert tracks(found) == ["b.wav"]


def test_a_folder_whose_table_was_forgotten_is_reported_file_by_file(data: Path) -> None:
    (data / "spcup_2022_unseen" / "spcup_2022_unseen" / "labels.csv").unlink()
    found = read(data)
    assert told(found) == [("file_without_label", f"u{i}.wav") for i in range(10)]


def test_a_set_without_any_of_its_files_is_reported_row_by_row(data: Path) -> None:
    for file in (data / "spcup_2022_eval_part1").rglob("*.wav"):
        file.unlink()
    assert told(read(data)) == [("label_without_file", f"e1_{i}.wav") for i in range(8)]


def test_a_key_of_the_evaluation_beside_its_folder_is_not_a_set(data: Path) -> None:
    (data / "labels_eval_part1.csv").write_text("track,algorithm\ne1_0.wav,3\n")
    found = read(data)
    assert told(found) == []
    assert found.manifest is not None
    assert dict(zip(found.manifest.column("track"), found.manifest.column("label"), strict=True))["e1_0.wav"] is None


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_file_name_that_is_not_utf8_costs_that_file_only(tmp_path: Path, put) -> None:
    folder = spcup(tmp_path / "set", put, ["a.wav,0"], ["a.wav"])
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.wav")).write_bytes(b"x")
    except OSError:
        pytest.skip("this filesystem refuses names that are not UTF-8")
    found = read(folder)
    assert told(found) == [("name_not_utf8", "caf\\xe9.wav")]
    assert tracks(found) == ["a.wav"]


def test_strict_fails_with_kinds_counts_and_names_but_leaves_the_problems(tmp_path: Path, put) -> None:
    folder = spcup(tmp_path / "set", put, ["a.wav,0", "gone1.wav,1", "gone2.wav,1", "a.wav,0"], ["a.wav"])
    out = tmp_path / "out"
    with pytest.raises(ProblemsError) as raised:
        prepare([str(folder)], str(out), strict=True)
    assert "1 duplicate_track (a.wav), 2 label_without_file (gone1.wav, gone2.wav)" in str(raised.value)
    assert storage.read_table(str(out / "problems.parquet")).num_rows == 3
    assert not (out / "manifest.parquet").exists()


def test_strict_is_content_with_clean_data(data: Path, tmp_path: Path) -> None:
    assert Path(prepare([str(data)], str(tmp_path / "out"), strict=True)).is_file()


def test_no_usable_row_is_an_error_that_says_why(tmp_path: Path, put) -> None:
    folder = spcup(tmp_path / "set", put, ["gone.wav,0"], ["other.wav"])
    with pytest.raises(ProblemsError, match=r"1 file_without_label \(other.wav\), 1 label_without_file \(gone.wav\)"):
        prepare([str(folder)], str(tmp_path / "out"))
    assert (tmp_path / "out" / "problems.parquet").is_file()


def test_a_missing_column_names_those_found(tmp_path: Path, put) -> None:
    put(tmp_path, ["a.wav"])
    (tmp_path / "labels.csv").write_text("name,algorithm\na.wav,0\n")
    with pytest.raises(TableError, match=r"labels.csv has no column 'track'; it has name, algorithm"):
        read(tmp_path)


def test_metadata_of_no_known_layout_names_its_columns(data: Path) -> None:
    (data / "vctk-sr16k-dataset" / "metadata.csv").write_text("clip,who\na.wav,1\n")
    with pytest.raises(LayoutError, match=r"has columns clip, who; known are .*vctk: file_name,speaker_id"):
        read(data)
    with pytest.raises(TableError, match=r"no column 'file_name', 'speaker_id'; it has clip, who"):
        read(data / "vctk-sr16k-dataset", "vctk")


@pytest.mark.parametrize("text", ["", 'track,algorithm\n"a.wav,0\n', "track,algorithm\na.wav,0,1,2\n"])
def test_an_unreadable_table_is_one_line(tmp_path: Path, put, text: str) -> None:
    put(tmp_path, ["a.wav"])
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(TableError) as raised:
        read(tmp_path)
    assert "labels.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_a_table_in_another_encoding_says_so(tmp_path: Path, put) -> None:
    put(tmp_path, ["a.wav"])
    (tmp_path / "labels.csv").write_bytes("track,algorithm\ncafé.wav,0\n".encode("latin-1"))
    with pytest.raises(TableError, match="not UTF-8"):
        read(tmp_path)


def test_wrong_inputs_are_usage_errors(tmp_path: Path, put) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("x")
    put(tmp_path / "audio", ["a.wav"])
    for folder, layout, message in [
        ("nowhere", "auto", "no such folder"),
        ("empty", "auto", "is empty"),
        ("text", "auto", "holds no audio; it holds notes.txt"),
        ("text/notes.txt", "auto", "is a file"),
        ("audio", "spcup", "holds no labels.csv"),
        ("audio", "vctk", "holds no metadata.csv with columns file_name,speaker_id"),
        ("audio", "tacotron", "no layout 'tacotron'"),
    ]:
        with pytest.raises(UsageError, match=message):
            read(tmp_path / folder, layout)
    with pytest.raises(LayoutError, match="2 layouts for 1 inputs"):
        collect([str(tmp_path / "audio")], ["folder", "spcup"], Options())


def test_unusable_choices_are_usage_errors(tmp_path: Path, put) -> None:
    put(tmp_path, ["a/1.wav", "b/1.wav"])
    for options, message in [
        ({"shares": {"vctk": 1.5}}, "a share is 0 to 1"),
        ({"shares": {"vctk": float("nan")}}, "a share is 0 to 1"),
        ({"shares": {"spcup": 0.5}}, "only ljspeech, vctk"),
        ({"classes": ("unknown", "a")}, "'unknown' is the last class"),
        ({"classes": ("a", "a")}, "different names"),
        ({"classes": ("unknown",)}, "one or more different names"),
        ({"unknown": ("c",)}, "no such sub-folder; there are a, b"),
        ({"folds": 1}, "two or more"),
    ]:
        with pytest.raises(UsageError, match=message):
            read(tmp_path, **options)


def test_inputs_that_disagree_on_the_classes_are_refused_until_told(data: Path, tmp_path: Path, put) -> None:
    put(tmp_path / "own", ["espeak/1.wav", "flite/1.wav"])
    inputs = [str(data), str(tmp_path / "own")]
    with pytest.raises(ClassesError, match=r"disagree on the classes: .*espeak, flite, unknown.*--classes"):
        collect(inputs, ["auto"], Options())
    # External sets have no classes of their own, so they go with any.
    found = collect([inputs[0] + "/vctk-sr16k-dataset", inputs[1]], ["auto"], Options())
    assert found.manifest is not None and found.manifest.classes == ("espeak", "flite", "unknown")
    assert {r["label"] for r in found.manifest.table.to_pylist() if r["source"] == "vctk"} == {2}
