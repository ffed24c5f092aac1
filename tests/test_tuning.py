"""What folds leave for the decision between known and unknown: all their rows at all levels, by generator."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synatt import manifest, tuning
from synatt.distributed.tuning import split_folds, without_class
from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.fitting import FitSettings
from synatt.foldanswers import DECIDED, FoldAnswers
from synatt.openset import fit_confidence
from synatt.outliers import ORIGINAL
from synatt.rehearsal import read_held_out
from synatt.validation import HeldOut
from tests.conftest import CLASSES, make_tiny_recipe


def test_an_outlier_is_not_trained_on_while_its_clip_is_judged() -> None:
    tracks = ["a", "b", "c", "lpc:a", "mlsa:b", "soft"]
    target, fold = np.eye(6, dtype=np.float32), np.array([0, 1, 1, -1, -1, -1])
    found = split_folds(tracks, target, fold, 2, {"lpc:a": "a", "mlsa:b": "b"})
    assert found[0][0].tracks == ("b", "c", "mlsa:b", "soft") and found[0][1].tracks == ("a",)
    assert found[1][0].tracks == ("a", "lpc:a", "soft") and found[1][1].tracks == ("b", "c")
    np.testing.assert_array_equal(found[1][0].target, target[[0, 3, 5]])


@pytest.mark.parametrize(("unseen", "far"), [(True, True), (True, False), (False, False)])
def test_the_confidence_is_fitted_on_every_fold_level_and_generator(tmp_path: Path, unseen: bool, far: bool) -> None:
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(6), 20)
    made_by = [None if c < 5 else ("g1", None)[i % 2] for i, c in enumerate(label)]
    rows = [
        {"track": f"t{i}", "path": "/p", "label": int(c), "generator": g, "source": "src"}
        for i, (c, g) in enumerate(zip(label, made_by, strict=True))
    ]
    recipe = make_tiny_recipe(tune={"unseen_generators": unseen, "judge_levels": ["clean", "strong"]})
    rows = manifest.build(rows, tuple(CLASSES))
    task = tuning._Task(recipe, rows, manifest.build([], tuple(CLASSES)), [], 0, "key")
    nobody, folds = Examples((), np.zeros((0, 6), np.float32)), {}
    logits, truth, names, unlikeness = [], [], [], []
    (tmp_path / "states").mkdir()
    for fold in (0, 1):
        at = np.flatnonzero(np.arange(len(label)) % 2 == fold)
        folds[fold] = nobody, Examples(tuple(f"t{i}" for i in at), np.eye(6, dtype=np.float32)[label[at]])
        held = rng.normal(0, 1, (2, len(at), 6)).astype(np.float32)
        held[:, np.arange(len(at)), label[at]] += np.where(label[at] < 5, 5, 1)
        away = rng.normal(0, 1, (2, len(at))) + (label[at] == 5)
        kept = HeldOut(held, away if far else None)
        (tmp_path / "states" / f"Tiny-fold{fold}-epoch3.npz").write_bytes(kept.encode())
        unlikeness += [*away]
        logits += [*held]
        truth += [label[at]] * 2
        names += [np.array([made_by[i] or "src" for i in at])] * 2
    said = FoldAnswers.of(task.recipe, task.rows, folds, str(tmp_path))
    found = said.confidence(said.judged("Tiny", 3))
    given = [np.concatenate(part) for part in (logits, truth, names)]
    assert found == fit_confidence(*given, 5, unseen, np.concatenate(unlikeness) if far else None)
    assert (found.slope is not None) == unseen and found.temperature != 1
    assert (found.distance_slope is not None) == far


def test_a_fold_without_a_known_class_trains_on_nothing_of_it_and_judges_it_as_unknown() -> None:
    eye = np.eye(4, dtype=np.float32)
    train = Examples(("a0", "a1", "b0", "u0", "lpc:a0", "lpc:b0"), eye[[0, 0, 1, 3, 3, 3]])
    valid = Examples(("a2", "b1", "u1"), eye[[0, 1, 3]])
    origin = {"a0": 0, "a1": 0, "b0": 1, "u0": 3, "lpc:a0": 0, "lpc:b0": 1, "a2": 0, "b1": 1, "u1": 3}
    fit, judged = without_class(train, valid, 0, 3, origin)
    assert fit.tracks == ("b0", "u0", "lpc:b0") and fit.target.argmax(axis=1).tolist() == [1, 3, 3]
    assert judged.tracks == valid.tracks and judged.target.argmax(axis=1).tolist() == [3, 1, 3]
    assert valid.target.argmax(axis=1).tolist() == [0, 1, 3], "the rows that were given are left alone"


def fold_task(classes: tuple[str, ...], unseen: bool = True) -> tuning._Task:
    """Rows of every class in two folds, and an outlier of each."""
    unknown = len(classes) - 1
    rows = [
        {"track": f"{c}{k}", "path": "/p", "label": c, "fold": k % 2} for c in range(len(classes)) for k in range(4)
    ]
    made = [{"track": f"lpc:{c}0", "path": "/p", "label": unknown, ORIGINAL: f"{c}0"} for c in range(len(classes))]
    recipe = make_tiny_recipe(classes=list(classes), tune={"folds": 2, "unseen_algorithms": unseen})
    outliers = manifest.build(made, classes)
    return tuning._Task(recipe, manifest.concat([manifest.build(rows, classes), outliers]), outliers, [], 0, "key")


def test_each_fold_does_without_another_known_class_and_what_was_made_of_it() -> None:
    classes = ("a", "b", "c", "unknown")
    task = fold_task(classes)
    folds = tuning._folds(task, set(task.rows.column("track")))
    for k, (train, valid) in folds.items():
        assert {t.removeprefix("lpc:")[0] for t in train.tracks} == {*"0123"} - {str(k)}
        told = dict(zip(valid.tracks, valid.target.argmax(axis=1), strict=True))
        assert told == {f"{c}{i}": 3 if c == k else c for c in range(4) for i in (k, k + 2)}
    plain = tuning._folds(fold_task(classes, unseen=False), set(task.rows.column("track")))
    assert {t[0] for t in plain[0][0].tracks if ":" not in t} == {*"0123"}


@pytest.mark.parametrize("classes", [("a", "b", "c"), ("a", "unknown")])
def test_folds_cannot_do_without_a_class_where_nothing_would_be_left(classes: tuple[str, ...]) -> None:
    task = fold_task(classes)
    with pytest.raises(UsageError, match="tune.unseen_algorithms: each fold does without one known class"):
        tuning._task(task.rows, task.recipe, 0, None, FitSettings(), [])


def test_a_network_that_stands_twice_is_tried_once_and_its_choice_holds_for_both(tmp_path: Path) -> None:
    members = [
        {"name": name, "timm": timm, "batch": [8, 8], "epochs": [2, 2], "seed": seed}
        for name, timm, seed in (("A", "test_resnet", 1), ("B", "test_convnext", 1), ("A2", "test_resnet", 2))
    ]
    recipe = make_tiny_recipe(classes=["a", "unknown"], backbones=members)
    assert tuning.twins(recipe.backbones) == {"A": "A", "B": "B", "A2": "A"}
    task = tuning._Task(
        recipe, manifest.build([], ("a", "unknown")), manifest.build([], ()), [*recipe.backbones], 0, "k"
    )
    best = {"A": 1, "B": 2}
    rows = [
        {"backbone": name, "fold": k, "epoch": e, "macro_f1": float(e == best[name]), "temperature": 1.0}
        for name, k, e in itertools.product("AB", (0, 1), (1, 2))
    ]
    tuning._write_choice(task, pd.DataFrame(rows), {}, str(tmp_path))
    chosen = json.loads((tmp_path / tuning.CHOICE_FILE).read_text())["backbones"]
    assert {name: choice["epochs"] for name, choice in chosen.items()} == {"A": 1, "B": 2, "A2": 1}


def test_the_epoch_is_chosen_by_the_decision_and_not_by_the_largest_logit(tmp_path: Path) -> None:
    label = np.repeat(np.arange(6), 10)
    rows = [
        {"track": f"t{i}", "path": "/p", "label": int(c), "generator": f"g{i % 4}" if c == 5 else None}
        for i, c in enumerate(label)
    ]
    recipe = make_tiny_recipe(tune={"folds": 2, "unseen_generators": True})
    task = tuning._Task(recipe, manifest.build(rows, CLASSES), manifest.build([], CLASSES), [*recipe.backbones], 0, "k")
    nobody, folds, curve, rng = Examples((), np.zeros((0, 6), np.float32)), {}, [], np.random.default_rng(0)
    (tmp_path / "states").mkdir()
    for fold, epoch in itertools.product((0, 1), (1, 2)):
        at = np.flatnonzero(np.arange(len(label)) % 2 == fold)
        folds[fold] = nobody, Examples(tuple(f"t{i}" for i in at), np.eye(6, dtype=np.float32)[label[at]])
        held = rng.normal(0, 0.1, (1, len(at), 6)).astype(np.float32)
        known = label[at] < 5
        # Epoch 1 guesses; epoch 2 takes unknown clips for known ones too, but is in doubt of them.
        held[0, np.arange(len(at)), np.where(known, label[at], 0)] += np.where(known, 6, 2) if epoch == 2 else 0
        (tmp_path / "states" / f"Tiny-fold{fold}-epoch{epoch}.npz").write_bytes(HeldOut(held).encode())
        curve.append({"backbone": "Tiny", "fold": fold, "epoch": epoch, "macro_f1": 2.0 - epoch, "temperature": 1.0})
    said = FoldAnswers.of(task.recipe, task.rows, folds, str(tmp_path))
    found = said.with_decisions(pd.DataFrame(curve))
    scores = found.groupby("epoch")[DECIDED].mean()
    assert scores[2] > 0.9 > scores[1]
    tuning._write_choice(task, found, {}, str(tmp_path), said)
    table = pd.read_parquet(tmp_path / tuning.UNSEEN_FILE)
    assert set(table["generator"]) == {"g0", "g1", "g2", "g3"} and set(table["backbone"]) == {"Tiny"}
    assert table.loc[table["score"] == "max_softmax", "auroc"].min() > 0.95
    held_out = read_held_out(str(tmp_path))
    assert len(held_out) == held_out["track"].nunique() == len(label) and set(held_out["level"]) == {"clean"}
    for fold, (_, valid) in folds.items():
        told = held_out[held_out["fold"] == fold].set_index("track")[[f"p_{c}" for c in CLASSES]]
        right = told.loc[list(valid.tracks)].to_numpy().argmax(axis=1) == valid.target.argmax(axis=1)
        # As the other fold's rows decide: each is what the curve says.
        assert right.mean() > 0.9 and np.allclose(told.sum(axis=1), 1)
    assert json.loads((tmp_path / tuning.CHOICE_FILE).read_text())["backbones"]["Tiny"]["epochs"] == 2
    # Where no row is unknown there is nothing to tell apart, and no table.
    known = {
        k: (fit, Examples(v.tracks, np.eye(6, dtype=np.float32)[label[: len(v.tracks)] % 5]))
        for k, (fit, v) in folds.items()
    }
    tuning._write_choice(task, pd.DataFrame(curve), {}, str(tmp_path / "known"), replace(said, folds=known))
    assert (tmp_path / "known" / tuning.CHOICE_FILE).exists()
    assert not (tmp_path / "known" / tuning.UNSEEN_FILE).exists()
    plain = task.recipe.model_copy(update={"tune": task.recipe.tune.model_copy(update={"unseen_generators": False})})
    same = replace(said, recipe=plain).with_decisions(pd.DataFrame(curve))
    assert DECIDED not in same


def test_a_fold_that_does_without_a_class_does_without_what_soft_labels_call_it() -> None:
    rows = [
        {"track": f"t{i}", "path": "/p", "label": c, "fold": i % 2, "split": "train"}
        for i, c in enumerate(np.repeat(np.arange(6), 4).tolist())
    ]
    soft = np.full((6, 6), 0.02, np.float32) + np.eye(6, dtype=np.float32) * 0.88
    rows += [{"track": f"s{i}", "path": "/p", "split": "eval", "p": p.tolist()} for i, p in enumerate(soft)]
    recipe = make_tiny_recipe(tune={"folds": 2, "unseen_algorithms": True})
    nothing = manifest.build([], tuple(CLASSES))
    task = tuning._Task(recipe, manifest.build(rows, tuple(CLASSES)), nothing, [], 1, "key")
    folds = tuning._folds(task, {row["track"] for row in rows})
    for gone, (train, valid) in folds.items():
        assert [t for t in train.tracks if t[0] == "s"] == [f"s{i}" for i in range(6) if i != gone]
        assert not any(t[0] == "s" for t in valid.tracks)
        assert gone not in train.target.argmax(axis=1) and gone not in valid.target.argmax(axis=1)


@pytest.mark.parametrize(("folds", "taught"), [(1, ["s0", "s1", "s2", "s3"]), (2, ["s0", "s2"])])
def test_folds_are_taught_the_soft_labels_that_a_cross_fitted_network_is(folds: int, taught: list[str]) -> None:
    given = [{"track": f"t{i}", "path": "/p", "label": i % 6} for i in range(24)]
    soft = [{"track": f"s{i}", "path": "/p", "p": [1 / 6] * 6, "split": "eval"} for i in range(4)]
    rows, labels = (manifest.build(some, tuple(CLASSES)) for some in (given, soft))
    recipe = make_tiny_recipe(train={"soft_label_folds": folds})
    task = tuning._task(rows, recipe, 1, labels, FitSettings(), [])
    assert [track for track in task.rows.column("track") if track.startswith("s")] == taught
    assert len(task.rows) == 24 + len(taught)


@pytest.mark.parametrize(("soft", "folds"), [(None, 2), ("given", 1)])
def test_only_a_second_round_that_is_cross_fitted_is_rehearsed(tmp_path: Path, soft: str | None, folds: int) -> None:
    pd.DataFrame({"track": ["a"]}).to_parquet(tmp_path / "held_out.parquet")
    rows = manifest.build([{"track": f"t{i}", "path": "/p", "label": i % 6} for i in range(24)], tuple(CLASSES))
    recipe = make_tiny_recipe(train={"soft_label_folds": folds})
    given = None if soft is None else rows
    with pytest.raises(UsageError, match="--first-round needs soft labels"):
        tuning.tune(rows, recipe, str(tmp_path / "out"), 1, given, FitSettings(), first_round=str(tmp_path))
