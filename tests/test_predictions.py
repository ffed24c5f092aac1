"""The predictions table: one schema whatever happened, probabilities that add up, the competition's answer file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt import predictions, storage
from synatt.predictions import (
    Outcome,
    embeddings_schema,
    embeddings_table,
    members_schema,
    members_table,
    schema,
    table,
    table_schemas,
    unknown_score,
    windows_schema,
    windows_table,
    write_answer,
)

CLASSES = ("a", "b", "unknown")
OK = [Outcome(f"t{i}", f"t{i}.wav", 1.5, 22_050) for i in range(3)]
BAD = [Outcome(f"e{i}", f"e{i}.wav", error="missing: no such file") for i in range(2)]
COLUMNS = (
    "track path status error duration_s sample_rate_hz algorithm algorithm_name confidence p_a p_b p_unknown "
    "unknown_score run"
).split()
# Sums to 1 in float32 only nearly, like any softmax.
PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], np.float32)


def mixed() -> pa.Table:
    probs = np.zeros((5, 3), np.float32)
    probs[[0, 2, 4]] = PROBS
    return table([OK[0], BAD[0], OK[1], BAD[1], OK[2]], probs, CLASSES, "run-1")


@pytest.mark.parametrize("outcomes", [[], BAD, OK, [*OK, *BAD]], ids=["empty", "all failed", "all ok", "mixed"])
def test_the_schema_is_the_same_whatever_happened(outcomes: list[Outcome]) -> None:
    found = table(outcomes, np.full((len(outcomes), 3), 1 / 3, np.float32), CLASSES, "r")
    assert found.schema.equals(schema(CLASSES), check_metadata=True)
    assert found.column_names == COLUMNS
    assert len(found) == len(outcomes)
    found.validate(full=True)


def test_the_types_are_those_of_the_contract() -> None:
    wanted = {
        **dict.fromkeys(["track", "path", "status", "error", "algorithm_name", "run"], pa.string()),
        **dict.fromkeys(["duration_s", "confidence", "p_a", "p_b", "p_unknown", "unknown_score"], pa.float32()),
        "sample_rate_hz": pa.int32(),
        "algorithm": pa.int8(),
    }
    assert {field.name: field.type for field in schema(CLASSES)} == wanted


def test_every_column_says_what_it_is_and_the_classes_travel_along() -> None:
    assert all(field.metadata[b"description"] for field in schema(CLASSES))
    assert json.loads(schema(CLASSES).metadata[b"synatt.classes"]) == list(CLASSES)


def test_an_answered_row_carries_probabilities_and_what_follows_from_them() -> None:
    rows = [row for row in mixed().to_pylist() if row["status"] == "ok"]
    assert [row["track"] for row in rows] == ["t0", "t1", "t2"]
    assert [(row["algorithm"], row["algorithm_name"]) for row in rows] == [(0, "a"), (2, "unknown"), (1, "b")]
    for row in rows:
        p = [row["p_a"], row["p_b"], row["p_unknown"]]
        assert sum(p) == pytest.approx(1, abs=1e-6)
        assert row["confidence"] == max(p)
        assert row["unknown_score"] == pytest.approx(1 - max(p[:2]), abs=1e-6)
        assert (row["error"], row["duration_s"], row["sample_rate_hz"], row["run"]) == (None, 1.5, 22_050, "run-1")


def test_a_failed_row_says_why_and_has_no_numbers() -> None:
    row = mixed().to_pylist()[1]
    assert (row["track"], row["path"], row["status"], row["error"], row["run"]) == (
        "e0",
        "e0.wav",
        "error",
        "missing: no such file",
        "run-1",
    )
    silent = ("duration_s", "sample_rate_hz", "algorithm", "algorithm_name", "confidence", "unknown_score")
    assert [row[name] for name in (*silent, "p_a", "p_b", "p_unknown")] == [None] * 9


def test_what_stands_in_the_rows_of_failed_recordings_does_not_matter() -> None:
    probs = np.full((2, 3), np.nan, np.float32)
    assert table(BAD, probs, CLASSES, "r").equals(table(BAD, np.zeros((2, 3)), CLASSES, "r"))


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0.1))
def test_the_unknown_score_is_high_where_no_known_class_is_likely(p: list[float]) -> None:
    probs = np.array([p], np.float32) / np.float32(sum(p))
    found = float(unknown_score(probs, CLASSES)[0])
    assert -1e-6 <= found <= 1
    assert found == pytest.approx(1 - probs[0, :2].max(), abs=1e-6)


def test_the_unknown_score_leaves_the_unknown_class_out_wherever_it_stands() -> None:
    found = unknown_score(np.array([[0.8, 0.15, 0.05]], np.float32), ("unknown", "x", "y"))
    assert found.tolist() == pytest.approx([0.85])


def test_members_hold_one_row_per_track_and_backbone() -> None:
    probs = np.stack([PROBS, PROBS[::-1]])
    found = members_table(["t0", "t1", "t2"], probs, ("Net", "Other"), CLASSES, "r")
    assert found.schema.equals(members_schema(CLASSES))
    rows = found.to_pylist()
    assert [(row["track"], row["backbone"]) for row in rows] == [
        (track, name) for name in ("Net", "Other") for track in ("t0", "t1", "t2")
    ]
    assert [row["p_a"] for row in rows] == pytest.approx([0.7, 0.1, 0.2, 0.2, 0.1, 0.7])
    assert {row["run"] for row in rows} == {"r"}


def test_embeddings_are_lists_of_one_length_in_the_order_of_the_members() -> None:
    vectors = [np.arange(6, dtype=np.float32).reshape(2, 3) + 10 * i for i in range(2)]
    found = embeddings_table(["t0", "t1"], vectors, ("Net", "Other"), "r")
    assert found.schema.equals(embeddings_schema(3))
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    members = members_table(["t0", "t1"], np.zeros((2, 2, 3)), ("Net", "Other"), CLASSES, "r")
    assert found.select(["track", "backbone", "run"]).equals(members.select(["track", "backbone", "run"]))
    assert found.column("embedding").to_pylist() == [[0, 1, 2], [3, 4, 5], [10, 11, 12], [13, 14, 15]]


def test_members_and_embeddings_of_nothing_answered_are_empty_tables() -> None:
    members = members_table([], np.zeros((2, 0, 3)), ("Net", "Other"), CLASSES, "r")
    assert members.schema.equals(members_schema(CLASSES))
    embeddings = embeddings_table([], [np.zeros((0, 4), np.float32)] * 2, ("Net", "Other"), "r")
    assert embeddings.schema.equals(embeddings_schema(4))
    assert len(members) == len(embeddings) == 0


def test_windows_are_the_answered_units_with_their_place_in_the_recording() -> None:
    units = mixed().append_column("row", pa.array([0, 0, 0, 1, 1], pa.int32()))
    units = units.append_column("window", pa.array([0, 1, 2, 0, 1], pa.int32()))
    units = units.append_column("start_s", pa.array([0.0, 0.5, 1.0, 0.0, 0.5], pa.float32()))
    found = windows_table(units, 0.5, CLASSES)
    assert found.schema.equals(windows_schema(CLASSES), check_metadata=True)
    places = found.select(["track", "window", "start_s", "end_s"]).to_pylist()
    assert [tuple(row.values()) for row in places] == [("t0", 0, 0, 0.5), ("t1", 2, 1, 1.5), ("t2", 1, 0.5, 1)]
    # A recording that is shorter than a window is one window.
    assert windows_table(units.slice(0, 1), 2.0, CLASSES).column("end_s").to_pylist() == [1.5]
    answers = ["algorithm", "confidence", "p_a", "unknown_score", "run"]
    answered = units.filter(pc.is_valid(units.column("algorithm")))
    assert found.select(answers).to_pylist() == answered.select(answers).to_pylist()


def test_every_table_that_may_be_published_has_a_schema() -> None:
    found = table_schemas(CLASSES, 4)
    assert list(found) == ["predictions", "members", "embeddings", "windows"]
    for name, kind in found.items():
        assert kind.names[0] == "track", name
        assert kind.names[-1] == "run", name
        assert len(set(kind.names)) == len(kind.names), name
        assert all(field.metadata[b"description"] for field in kind), name
    about = {field.name: field.metadata[b"description"].decode() for kind in found.values() for field in kind}
    assert {name for name in about if about[name].startswith("probability")} == {"p_a", "p_b", "p_unknown"}


def test_the_answer_file_is_track_and_class_without_header_in_a_zip(tmp_path: Path) -> None:
    path = write_answer(str(tmp_path), mixed())
    assert path == str(tmp_path / "answer.zip")
    wanted = "t0,0\nt1,2\nt2,1\n"
    assert (tmp_path / "answer.txt").read_text() == wanted
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["answer.txt"]
        assert archive.read("answer.txt").decode() == wanted


def test_the_answer_zip_is_the_same_bytes_again(tmp_path: Path) -> None:
    one, again = (storage.read_bytes(write_answer(str(tmp_path / name), mixed())) for name in ("a", "b"))
    assert one == again


def test_the_answer_of_nothing_is_empty(tmp_path: Path) -> None:
    write_answer(str(tmp_path), table(BAD, np.zeros((2, 3)), CLASSES, "r"))
    assert (tmp_path / "answer.txt").read_text() == ""


def test_finished_predictions_are_read_from_their_file_or_the_jobs_folder(tmp_path: Path) -> None:
    storage.write_table(str(tmp_path / "predictions" / "part-0.parquet"), mixed().slice(0, 3))
    storage.write_table(str(tmp_path / "predictions" / "part-1.parquet"), mixed().slice(3))
    assert predictions.read(str(tmp_path)).equals(mixed())
    assert len(predictions.read(str(tmp_path / "predictions" / "part-0.parquet"))) == 3
