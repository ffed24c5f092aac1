"""From folds that leave generators out to the answers of a model: known or unknown, then which."""

import json

import pandas as pd
import pytest

import synatt
from synatt import manifest
from synatt.model import load_model

pytestmark = pytest.mark.usefixtures("ray_local")


def test_the_decision_between_known_and_unknown_reaches_the_model_and_its_answers(job, tmp_path, spcup, tiny_yaml):
    """Folds without some unknown generators, judged perturbed; what they fit is in the choice and in the model."""
    assert job("prepare", "--input", spcup, "--layout", "spcup", "--output", tmp_path / "data")[0] == 0
    rows = manifest.read(str(tmp_path / "data"))
    table = rows.table.to_pandas()
    table["generator"] = [f"g{i % 2}" if label == 5 else None for i, label in enumerate(table.label)]
    manifest.write(str(tmp_path / "rows.parquet"), manifest.build(table, rows.classes))
    argv = ["--input", tmp_path / "rows.parquet", "--recipe", tiny_yaml, "--backbone", "TinyConv"]
    argv += ["--set", "tune.unseen_generators=true", "--set", "tune.judge_levels=[clean,strong]"]
    argv += ["--set", "predict.neighbours=30", "--set", "tune.judge_every=2"]
    argv += ["--set", "augment.perturb_p=0.5", "--set", "augment.perturb_takes=2", "--clips", tmp_path / "clips"]
    code, _, err = job("tune", *argv, "--output", tmp_path / "folds")
    assert code == 0, err
    found = json.loads((tmp_path / "folds" / "epochs.json").read_text())["backbones"]["TinyConv"]["confidence"]
    assert set(found) == {"temperature", "slope", "distance_slope", "bias"} and found["temperature"] != 1
    curves = pd.read_parquet(tmp_path / "folds" / "curves.parquet")
    assert (curves.macro_f1.notna() == (curves.epoch == 2)).all() and curves.loss.notna().all()
    # Two epochs teach nothing: the score may well point the wrong way, which leaves the softmax as it is.
    kept_clips = {path: path.stat().st_mtime_ns for path in (tmp_path / "clips").iterdir()}
    assert len(kept_clips) == 4, "the recordings, two takes to train on, one to judge"
    chosen = tmp_path / "epochs.json"
    whole = json.loads((tmp_path / "folds" / "epochs.json").read_text())
    whole["backbones"]["TinyConv"]["confidence"] = {
        "temperature": 2.0,
        "slope": 1.5,
        "distance_slope": 0.5,
        "bias": 30.0,
    }
    chosen.write_text(json.dumps(whole))
    code, _, err = job("train", *argv, "--epochs", chosen, "--output", tmp_path / "models")
    assert code == 0, err
    assert kept_clips == {path: path.stat().st_mtime_ns for path in (tmp_path / "clips").iterdir()}, "train shares them"
    kept = synatt.load_recipe(str(tmp_path / "models" / "TinyConv" / "recipe.yaml")).predict
    assert (kept.temperature, kept.unknown_slope, kept.unknown_distance_slope, kept.unknown_bias) == (2.0, 1.5, 0.5, 30)
    neighbours = load_model(str(tmp_path / "models" / "TinyConv")).neighbours
    assert neighbours is not None and len(neighbours) == 30
    answers = synatt.load(str(tmp_path / "models")).predict([str(p) for p in sorted(spcup.rglob("*.wav"))[:3]])
    assert (answers.algorithm_name == "unknown").all() and (answers.confidence > 0.99).all()

    # The second round is rehearsed with what the first said of the rows its folds held out.
    held_out = pd.read_parquet(tmp_path / "folds" / "held_out.parquet")
    assert set(held_out.level) == {"clean", "strong"} and len(held_out) == 2 * held_out.track.nunique()
    evaluated = rows.table.to_pandas()[lambda t: t.split == "eval"].assign(label=None, p=[[0.5] + [0.1] * 5] * 12)
    manifest.write(str(tmp_path / "soft.parquet"), manifest.build(evaluated, rows.classes))
    more = ["--soft", tmp_path / "soft.parquet", "--set", "train.soft_label_folds=2", "--output", tmp_path / "again"]
    code, _, err = job("tune", *argv, *more, "--first-round", tmp_path / "folds")
    assert code == 0, err
    assert "held-out rows are taught too, by the first round's answers: 2 times" in err
    again = pd.read_parquet(tmp_path / "again" / "curves.parquet")
    assert sorted(set(again.fold)) == [0, 1, 2, 3], "two folds, each once for either half of its held-out rows"
    judged = pd.read_parquet(tmp_path / "again" / "held_out.parquet")
    assert set(judged.track) == set(held_out.track) and judged.groupby(["track", "level"]).size().eq(1).all()
