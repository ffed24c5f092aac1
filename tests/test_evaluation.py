"""Predictions and true labels -> metrics: what is joined, what counts, what is refused."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from synatt import manifest, predictions
from synatt.errors import UsageError
from synatt.evaluation import Evaluation, evaluate, save
from synatt.summary import notes, summary

CLASSES = ("alpha", "beta", "unknown")
Write = Callable[..., str]


def probabilities(answer: Sequence[int | None], sure: float = 0.8) -> np.ndarray:
    probs = np.full((len(answer), len(CLASSES)), (1 - sure) / (len(CLASSES) - 1), np.float32)
    for row, index in zip(probs, answer, strict=True):
        row[index or 0] = sure
    return probs


def table(
    answer: Sequence[int | None], classes: tuple[str, ...] = CLASSES, prefix: str = "t", sure: float = 0.8
) -> pa.Table:
    """Predictions as the `predict` job writes them; None is a recording that gave no answer."""
    outcomes = [
        predictions.Outcome(f"{prefix}{i}", f"/audio/{prefix}{i}.wav", 1.0, 16_000)
        if index is not None
        else predictions.Outcome(f"{prefix}{i}", f"/audio/{prefix}{i}.wav", error="silent: every sample is zero")
        for i, index in enumerate(answer)
    ]
    return predictions.table(outcomes, probabilities(answer, sure), classes, "run-1")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_table(what: pa.Table | pd.DataFrame | str, name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, pa.Table):
            pq.write_table(what, path)
        elif isinstance(what, pd.DataFrame):
            what.to_csv(path, index=False)
        else:
            path.write_text(what, encoding="utf-8")
        return str(path)

    return write_table


def labels(truth: Sequence[Any], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"track": [f"t{i}" for i in range(len(truth))], "label": truth, **columns})


def scored(write: Write, answer: Sequence[int | None], truth: pd.DataFrame, **options: Any) -> Evaluation:
    return evaluate([write(table(answer), "p.parquet")], [write(truth, "l.csv")], **{"bootstrap": 200, **options})


def test_overall_scores_are_scikit_learns(write: Write) -> None:
    rng = np.random.default_rng(0)
    truth, answer = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    answer[:120] = truth[:120]
    overall = scored(write, answer.tolist(), labels(truth.tolist())).metrics["overall"]
    assert overall["n"] == 200
    assert overall["accuracy"] == pytest.approx(sk.accuracy_score(truth, answer))
    assert overall["macro_f1"] == pytest.approx(sk.f1_score(truth, answer, average="macro"))
    assert overall["macro_precision"] == pytest.approx(sk.precision_score(truth, answer, average="macro"))
    assert overall["macro_recall"] == pytest.approx(sk.recall_score(truth, answer, average="macro"))
    score = 1 - probabilities(answer.tolist())[:, :2].max(1)
    assert overall["auroc"] == pytest.approx(sk.roc_auc_score(truth == 2, score))
    assert overall["macro_f1_low"] < overall["macro_f1"] < overall["macro_f1_high"]


def test_tracks_without_answer_or_label_are_counted_apart_and_move_no_score(write: Write) -> None:
    truth = pd.DataFrame({"track": ["t0", "t1", "t2", "t3", "t9"], "label": [0, 1, 1, None, 2]})
    found = scored(write, [0, 0, None, 1, None], truth).metrics
    assert found["counts"] == {
        "predictions": 5,
        "answered": 3,
        "errors": 2,
        "labelled": 3,
        "labelled_answered": 2,
        "labelled_errors": 1,
        "unlabelled": 2,
        "unlabelled_answered": 1,
        "unlabelled_errors": 1,
        "labels": 4,
        "labels_without_prediction": 1,
    }
    assert found["errors"] == {"silent": 2}
    assert found["overall"]["accuracy"] == 0.5
    assert found["overall"]["accuracy_all"] == pytest.approx(1 / 3)
    assert found["per_class"][1]["answers_unlabelled"] == 1


def test_macro_scores_take_the_classes_that_are_in_the_truth(write: Write) -> None:
    truth, answer = [0, 0, 1, 1], [0, 2, 1, 1]
    found = scored(write, answer, labels(truth)).metrics
    assert found["overall"]["n_classes"] == 2
    assert found["overall"]["macro_f1"] == pytest.approx(sk.f1_score(truth, answer, labels=[0, 1], average="macro"))
    assert found["per_class"][2]["f1"] is None
    assert found["per_class"][2]["answers"] == 1


def test_scores_that_a_group_cannot_have_are_null(write: Write) -> None:
    truth = labels([0, 0, 1, 2, 2], generator=["x", "x", "y", "z", "z"])
    groups = {g["value"]: g for g in scored(write, [0, 1, 1, 2, None], truth).metrics["groups"]["generator"]}
    assert groups["x"]["accuracy"] == 0.5
    assert [groups["x"][key] for key in ("macro_f1", "macro_f1_low", "auroc", "eer")] == [None] * 4
    assert (groups["z"]["n"], groups["z"]["n_errors"], groups["z"]["accuracy_all"]) == (1, 1, 0.5)


def test_a_group_scores_like_its_rows_alone(write: Write) -> None:
    rng = np.random.default_rng(1)
    truth, answer = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    kind = np.array(["clean", "noise", "codec"])[np.arange(90) % 3]
    found = scored(write, answer.tolist(), labels(truth.tolist(), perturbation=kind)).metrics
    assert [g["value"] for g in found["groups"]["perturbation"]] == ["clean", "codec", "noise"]
    for group in found["groups"]["perturbation"]:
        mask = kind == group["value"]
        assert group["n"] == 30
        assert group["macro_f1"] == pytest.approx(sk.f1_score(truth[mask], answer[mask], average="macro"))
        assert group["macro_f1_low"] <= group["macro_f1"] <= group["macro_f1_high"]


def test_default_columns_need_several_values_among_the_labelled_and_any_other_can_be_asked_for(write: Write) -> None:
    truth = labels(
        [0, 1, 2, 2], perturbation=["a", "b", "a", None], split=["eval"] * 4, room=["s10", "s9", "s9", "s10"]
    )
    elsewhere = {"track": ["t9"], "label": [0], "perturbation": ["a"], "split": ["train"], "room": ["s9"]}
    truth = pd.concat([truth, pd.DataFrame(elsewhere)])
    assert scored(write, [0, 1, 2, 2], truth).metrics["settings"]["by"] == ["perturbation"]
    asked = scored(write, [0, 1, 2, 2], truth, by=["room", "split"]).metrics["groups"]
    assert [g["value"] for g in asked["room"]] == ["s9", "s10"]
    assert [g["value"] for g in asked["split"]] == ["eval"]
    by_gap = scored(write, [0, 1, 2, 2], truth).metrics["groups"]["perturbation"]
    assert [(g["value"], g["n"]) for g in by_gap] == [("a", 2), ("b", 1), (None, 1)]


def test_each_unknown_generator_stands_against_all_known_tracks(write: Write) -> None:
    truth = labels([0, 1, 2, 2, 2, 2], generator=["a", "b", "vocoder", "vocoder", "copy", "copy"])
    rows = {r["generator"]: r for r in scored(write, [0, 1, 2, 2, 2, 0], truth).metrics["unknown_generators"]}
    assert set(rows) == {"vocoder", "copy"}
    assert (rows["vocoder"]["n"], rows["vocoder"]["n_known"]) == (2, 2)
    assert (rows["vocoder"]["accuracy"], rows["vocoder"]["auroc"], rows["vocoder"]["eer"]) == (1, 1, 0)
    assert (rows["copy"]["accuracy"], rows["copy"]["auroc"]) == (0.5, 0.75)


def test_without_an_unknown_class_detection_is_null(write: Write) -> None:
    path = write(table([0, 1, 2], ("a", "b", "c")), "p.parquet")
    found = evaluate([path], [write(labels([0, 1, 2]), "l.csv")], bootstrap=10)
    assert found.metrics["unknown_class"] is None
    assert found.metrics["overall"]["auroc"] is None
    assert found.metrics["overall"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("answer", "truth"),
    [([0, 1], [None, None]), ([None, None], [0, 1]), ([], []), ([None, 1], [0, None]), ([2], [2])],
    ids=["no labels", "no answers", "empty", "no track has both", "one track"],
)
def test_little_or_nothing_to_score_gives_counts_and_valid_json(
    write: Write, tmp_path: Path, answer: Sequence[int | None], truth: list[int | None]
) -> None:
    found = scored(write, answer, labels(truth, part=["1"] * len(truth)), by=["part"])
    save(found, str(tmp_path / "out"))
    text = (tmp_path / "out" / "metrics.json").read_text()
    kept = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))
    assert kept["counts"]["predictions"] == len(answer)
    assert kept["overall"]["macro_f1"] is None
    assert "all" in summary(found)


def test_table_schemas_do_not_depend_on_the_data(write: Write) -> None:
    full = scored(write, [0, 1, 2, None], labels([0, 2, 2, 1], generator=["a", "b", "c", "d"]))
    empty = scored(write, [], labels([], generator=[]))
    assert {name: t.schema for name, t in full.tables.items()} == {name: t.schema for name, t in empty.tables.items()}


def test_saved_tables_are_read_back_as_they_were(write: Write, tmp_path: Path) -> None:
    found = scored(write, [0, 1, 2, None], labels([0, 2, 2, 1], speaker=["é", "a,b", "c", '"']))
    save(found, str(tmp_path / "out"))
    for name, kept in found.tables.items():
        assert pq.read_table(tmp_path / "out" / "tables" / f"{name}.parquet").equals(kept)
        assert len(pd.read_csv(tmp_path / "out" / "tables" / f"{name}.csv")) == kept.num_rows
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == found.metrics


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others(write: Write) -> None:
    rng = np.random.default_rng(2)
    truth, answer = labels(rng.integers(0, 3, 60).tolist()), rng.integers(0, 3, 60).tolist()
    first, again, other = (scored(write, answer, truth, seed=s).metrics["overall"] for s in (1, 1, 2))
    assert first == again
    assert first["macro_f1"] == other["macro_f1"]
    assert first["macro_f1_low"] != other["macro_f1_low"]


def test_no_bootstrap_gives_scores_without_intervals(write: Write) -> None:
    overall = scored(write, [0, 1, 2], labels([0, 1, 1]), bootstrap=0).metrics["overall"]
    assert overall["accuracy"] == pytest.approx(2 / 3)
    assert overall["accuracy_low"] is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("track,algorithm\nt0,0\nt1,1\nt2,2\n", "labels.csv"),
        (",track,algorithm\n0,t0,0\n1,t1,1\n2,t2,2\n", "indexed.csv"),
        ("\ufefftrack,label\nt0,alpha\nt1,beta\nt2,unknown\n", "bom.csv"),
        ("track,label\r\nt0,0.0\r\nt1,1.0\r\nt2,2.0\r\n", "floats.csv"),
        ("track\tlabel\nt0\t0\nt1\t1\nt2\t2\n", "labels.tsv"),
        ('{"track":"t0","label":0}\n{"track":"t1","label":1}\n{"track":"t2","label":2}\n', "labels.jsonl"),
    ],
)
def test_labels_are_read_from_any_table_by_index_or_by_name(write: Write, text: str, name: str) -> None:
    found = evaluate([write(table([0, 1, 2]), "p.parquet")], [write(text, name)], bootstrap=10)
    assert found.metrics["overall"]["accuracy"] == 1
    assert found.metrics["counts"]["labelled"] == 3


def test_a_manifest_folder_gives_labels_by_its_own_class_order(write: Write, tmp_path: Path) -> None:
    rows = [{"track": f"t{i}", "path": "x", "label": i, "part": i % 2} for i in range(3)]
    manifest.write(str(tmp_path / "m" / "manifest.parquet"), manifest.build(rows, ("beta", "alpha", "unknown")))
    found = evaluate([write(table([1, 0, 2]), "p.parquet")], [str(tmp_path / "m")], bootstrap=10)
    assert found.metrics["overall"]["accuracy"] == 1
    assert [g["value"] for g in found.metrics["groups"]["part"]] == ["0", "1"]


def test_track_names_stay_text(write: Write) -> None:
    path = write(table([0, 1], prefix="00"), "p.parquet")
    found = evaluate([path], [write("track,label,speaker\n000,0,NA\n001,1,007\n", "l.csv")], bootstrap=10)
    assert found.metrics["counts"]["labelled"] == 2
    assert [g["value"] for g in found.metrics["groups"]["speaker"]] == ["007", "NA"]


def test_predictions_are_read_from_files_folders_and_the_output_of_predict(write: Write, tmp_path: Path) -> None:
    write(table([0, 1]), "out/predictions/0.parquet")
    write(table([2, None], prefix="u"), "out/predictions/1.parquet")
    write(pa.table({"track": ["t0"], "p_alpha": [1.0]}), "out/members/0.parquet")
    single = write(table([2], prefix="v"), "v.parquet")
    inside = evaluate([str(tmp_path / "out" / "predictions"), single])
    above = evaluate([str(tmp_path / "out"), single])
    assert inside.metrics["counts"] == above.metrics["counts"]
    assert above.metrics["counts"]["predictions"] == 5
    assert above.metrics["run"] == ["run-1"]


def test_listed_clips_are_the_least_certain_answers_and_the_surest_mistakes(write: Write) -> None:
    parts = [table([0, 1], sure=0.5), table([0, 1], prefix="u", sure=0.9), table([1], prefix="v", sure=0.7)]
    truth = pd.DataFrame({"track": ["t0", "t1", "u0", "v0"], "label": [0, 0, 1, 0]})
    found = evaluate([write(p, f"{i}.parquet") for i, p in enumerate(parts)], [write(truth, "l.csv")], bootstrap=10)
    assert found.tables["most_uncertain"]["track"].to_pylist() == ["t0", "t1", "v0", "u0", "u1"]
    assert found.tables["most_uncertain"]["truth"].to_pylist() == ["alpha", "alpha", "alpha", "beta", None]
    assert found.tables["confident_mistakes"]["track"].to_pylist() == ["u0", "v0", "t1"]
    assert found.tables["most_confused"].to_pylist()[0] == {"truth": "alpha", "answer": "beta", "n": 2, "share": 2 / 3}


def test_summary_shows_each_group_with_counts_and_interval(write: Write) -> None:
    truth = labels([0, 1, 0, 1, None], perturbation=["clean", "clean", "noise", "noise", "noise"])
    lines = summary(scored(write, [0, 1, 1, None, 0], truth)).splitlines()
    assert lines[0].split() == ["perturbation", "scored", "no", "answer", "accuracy", "95", "%", "interval"]
    assert lines[1].split() == ["clean", "2", "0", "1.000", "1.000", "-", "1.000"]
    assert lines[2].split()[:4] == ["noise", "1", "1", "0.000"]
    assert lines[3].split()[:4] == ["all", "3", "1", "0.667"]
    assert lines[4].startswith("1 of 5 tracks have no true label")


GOOD = "track,label\nt0,0\n"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("file,label\nt0,0\n", "l.csv", r"no column 'track'; its columns are file, label"),
        ("track,class\nt0,0\n", "l.csv", r"no column 'label' or 'algorithm'; its columns are track, class"),
        ("track,label\nt0,3\n", "l.csv", r"label '3' of track 't0' is not a predicted class \(0..2 or one of alpha,"),
        ("track,label\nt0,-1\n", "l.csv", r"label '-1' of track 't0'"),
        ("track,label\nt0,1.5\n", "l.csv", r"label '1.5' of track 't0'"),
        ("track,label\nt0,nan\n", "l.csv", r"label 'nan' of track 't0'"),
        ("track,label\nt0,gamma\n", "l.csv", r"label 'gamma' of track 't0'"),
        ("track,label\nt0,0\nt0,1\n", "l.csv", r"1 tracks stand more than once in the true labels, first 't0'"),
        ("track,label\n,0\n", "l.csv", r"1 rows without a track name"),
        (
            "track,label\nz0,0\nz1,1\n",
            "l.csv",
            r"none of the 2 labelled tracks is among the 3 predictions: .*'z0'.*'t0'",
        ),
        ("", "l.csv", r"l.csv is not a readable CSV"),
        ('track,label\n"t0,0\n', "l.csv", r"l.csv is not a readable CSV"),
        ("{", "l.jsonl", r"l.jsonl is not JSON lines"),
        ("no table", "l.parquet", r"l.parquet is not a Parquet table"),
    ],
)
def test_bad_labels_are_refused_in_one_line_that_says_why(write: Write, text: str, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        evaluate([write(table([0, 1, 2]), "p.parquet")], [write(text, name)])
    assert "\n" not in str(caught.value)


def test_tracks_that_stand_twice_in_the_predictions_are_refused(write: Write) -> None:
    path = write(table([0, 1]), "p.parquet")
    with pytest.raises(UsageError, match=r"2 tracks stand more than once in the predictions, first 't0', 't1'"):
        evaluate([path, path])


def test_predictions_of_different_classes_are_refused(write: Write) -> None:
    paths = [write(table([0]), "a.parquet"), write(table([0], ("alpha", "unknown", "beta"), "u"), "b.parquet")]
    with pytest.raises(UsageError, match=r"disagree on the classes"):
        evaluate(paths)


def test_predictions_that_are_missing_or_no_predictions_are_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such predictions"):
        evaluate([str(tmp_path / "nothing")])
    with pytest.raises(UsageError, match=r"lacks status, error, algorithm, .*; it has track, p_a"):
        evaluate([write(pa.table({"track": ["a"], "p_a": [1.0]}), "p.parquet")])
    with pytest.raises(UsageError, match=r"lacks p_<class name>"):
        evaluate([write(table([0]).drop_columns(["p_alpha", "p_beta", "p_unknown"]), "p.parquet")])


def test_an_answer_outside_the_classes_is_refused(write: Write) -> None:
    bad = table([0, 1])
    bad = bad.set_column(bad.schema.get_field_index("algorithm"), "algorithm", pa.array([0, 7], pa.int8()))
    with pytest.raises(UsageError, match=r"1 predictions have status 'ok' but no full answer, first 't1'"):
        evaluate([write(bad, "p.parquet")])


def test_an_unknown_group_column_is_refused_with_those_there_are(write: Write) -> None:
    with pytest.raises(UsageError, match=r"no column 'room' to group by; labels and predictions have speaker,"):
        scored(write, [0], labels([0], speaker=["a"]), by=["room"])


def test_every_generator_has_its_count_its_interval_and_what_it_is_taken_for(write: Write) -> None:
    truth = labels([0, 0, 0, 1, 2, 2, 1], generator=["a", "a", "a", "b", "voc", "voc", None])
    found = scored(write, [0, 1, 1, 1, 2, None, 1], truth).metrics["generators"]
    rows = {row["generator"]: row for row in found}
    assert [row["generator"] for row in found] == ["a", "b", "voc", None]
    assert (rows["a"]["truth"], rows["a"]["n"], rows["a"]["accuracy"]) == ("alpha", 3, pytest.approx(1 / 3))
    assert (rows["a"]["wrong_answer"], rows["a"]["n_wrong_answer"]) == ("beta", 2)
    assert (rows["voc"]["n"], rows["voc"]["n_errors"], rows["voc"]["accuracy"]) == (1, 1, 1)
    assert rows["voc"]["wrong_answer"] is None
    # All of one track right is not known to be 100 %.
    assert rows["voc"]["accuracy_low"] < 0.3
    assert scored(write, [0], labels([0])).metrics["generators"] == []


def test_a_generator_without_an_answer_has_no_accuracy(write: Write) -> None:
    row = scored(write, [None, 1], labels([0, 1], generator=["a", "b"])).metrics["generators"][0]
    assert (row["n"], row["n_errors"], row["accuracy"], row["accuracy_low"]) == (0, 1, None, None)


UNDEFINED_IN_ONE_CLASS = ("macro_f1", "macro_precision", "macro_recall", "auroc", "eer", "fpr_at_95_tpr")


@pytest.mark.parametrize("truth", [0, 2], ids=["known", "unknown"])
def test_a_group_of_one_class_or_of_no_answer_has_null_where_nothing_is_defined(write: Write, truth: int) -> None:
    table = labels([truth] * 6 + [0, 1, 2, 2], part=["one"] * 6 + ["none"] * 2 + ["both"] * 2)
    found = scored(write, [0, 1, 2, 2, 0, truth, None, None, 2, None], table, by=["part"]).metrics
    one, none = (next(g for g in found["groups"]["part"] if g["value"] == v) for v in ("one", "none"))
    for name in UNDEFINED_IN_ONE_CLASS:
        assert [one[name], one[f"{name}_low"], one[f"{name}_high"]] == [None] * 3
    counts = {"value", "n", "n_errors", "n_classes", "n_known", "n_unknown"}
    # Of tracks without an answer only this is known: that none was answered right.
    assert none["accuracy_all"] == 0
    assert all(none[k] is None for k in none if k not in counts and not k.startswith("accuracy_all"))
    calibration = {g["value"]: g for g in found["calibration"]["groups"]["part"]}
    assert calibration["one"]["n"] == 6 and calibration["one"]["ece_low"] is not None
    assert "none" not in calibration or all(calibration["none"][k] is None for k in ("ece", "brier", "nll"))


def test_nothing_to_score_has_no_number_anywhere(write: Write) -> None:
    found = scored(write, [None, None], labels([0, 1], generator=["a", "b"]), by=["generator"]).metrics
    for name, counts in (("reject", ["n", "n_accepted"]), ("unknown_threshold", ["n_known", "n_unknown"])):
        assert found[name]["threshold"] is None and found[name]["reason"]
        assert all(row[c] == 0 for row in found[name]["halves"] for c in counts)
    assert found["probe"]["reason"] == "none of the 0 recordings could be read (there are none)"
    assert found["probe"]["overall"] == []
    assert [found["calibration"][k] for k in ("n", "ece", "ece_low", "brier", "nll")] == [0, None, None, None, None]
    assert found["overlap"] is None


def test_what_was_trained_on_is_compared_and_scored_apart(write: Write) -> None:
    truth = labels([0, 1, 0, 1], speaker=["s", "s", "n", "n"])
    seen = write("track,label,speaker\nx,0,s\n", "seen.csv")
    found = scored(write, [0, 1, 1, 0], truth, trained_on=[seen]).metrics
    kinds = {row["kind"]: row for row in found["overlap"]["kinds"]}
    assert found["overlap"]["n_trained"] == 1 and found["settings"]["trained_on"] == [seen]
    assert (kinds["speaker"]["n_touched"], kinds["speaker"]["untouched"]["macro_f1"]) == (2, 0)
    assert kinds["sentence"]["untouched"] is None and kinds["sentence"]["share"] is None
    lines = notes(scored(write, [0, 1, 1, 0], truth, trained_on=[seen]))
    assert lines[0].startswith("overlap with training, in tracks: speaker 2 of 4;")
    assert not any("overlap" in line for line in notes(scored(write, [0, 1, 1, 0], truth)))


def test_notes_give_thresholds_with_both_rates_and_say_why_there_is_none(write: Write) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 90).tolist()
    lines = notes(scored(write, truth, labels(truth), error_rate=0.1))
    assert lines[0].startswith(
        "shortcut probe: n/a: none of the 90 recordings could be read (70 not tried, 20 missing)"
    )
    assert lines[1].startswith("confidence >= 0.800 for 10.0% errors, measured on the other half: accepted 100.0% (")
    assert "wrong of those 0.0% (0.0% - 4.1%)" in lines[1]
    assert lines[2].startswith("unknown score >=") and "known flagged" in lines[2]
    wrong = [(t + 1) % 3 for t in truth]
    assert "confidence for 10.0% errors: n/a: no threshold reaches it" in notes(
        scored(write, wrong, labels(truth), error_rate=0.1)
    )
    assert notes(scored(write, [None], labels([0]))) == []
