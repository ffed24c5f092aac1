"""What `train` and `tune` do besides the method itself: failures, held-out folds, TensorBoard, searches."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from synatt import load_recipe
from tests.scrape import scrape_until, total
from tests.tinyrecipe import HEAD

pytestmark = pytest.mark.usefixtures("ray_local")

RECIPE = (
    HEAD
    + """tune: {folds: 2, max_epochs: 2, grace_epochs: 1}
backbones:
  - {name: Wrong, timm: no_such_model, batch: [8, 8], epochs: [2, 2]}
  - {name: Good, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
"""
)


@pytest.fixture(scope="module")
def given(tmp_path_factory, spcup) -> tuple[str, ...]:
    from jobs import prepare

    folder = tmp_path_factory.mktemp("fitting")
    (folder / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(spcup), "--layout", "spcup", "--output", str(folder / "rows")]) == 0
    clips = ("--clips", str(folder / "clips"))
    return ("--input", str(folder / "rows"), "--recipe", str(folder / "tiny.yaml"), *clips)


def scalars(folder: Path) -> dict[tuple[int, str], float]:
    """(epoch, name) -> value, from TensorBoard's event file."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.iterdir()
    data, at, seen = file.read_bytes(), 0, {}
    while at < len(data):
        # TFRecord: length, its checksum, the event, its checksum.
        size = int.from_bytes(data[at : at + 8], "little")
        event = Event.FromString(data[at + 12 : at + 12 + size])
        at += 16 + size
        for value in event.summary.value:
            seen[(event.step, value.tag)] = value.simple_value
    return seen


def test_a_backbone_that_fails_does_not_stop_the_others(job, given, tmp_path):
    argv = ["train", *given, "--output", tmp_path, "--set", "train.max_failures=0", "--set", "train.hold_out_fold=1"]
    code, _, err = job(*argv, "--log-format", "json")
    assert code == 1
    said = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    (last,) = [line["message"] for line in said if "exit_code" in line]
    assert "1 of 2 backbones failed: training Wrong failed: " in last and "has no model 'no_such_model'" in last, last
    table = pd.read_parquet(tmp_path / "backbones.parquet").set_index("backbone")
    assert table.status.to_dict() == {"Wrong": "failed", "Good": "trained"}
    assert "no_such_model" in table.error["Wrong"] and table.clips["Good"] == 12
    metrics = json.loads((tmp_path / "Good" / "metrics.json").read_text())
    # A held-out fold is judged in every epoch, and what it was taken for is kept.
    curve = pd.read_csv(tmp_path / "Good" / "curve.csv")
    assert list(curve.epoch) == [1, 2]
    best = curve.loc[curve.macro_f1.idxmax()]
    assert (metrics["best_epoch"], metrics["best_macro_f1"]) == (best.epoch, pytest.approx(best.macro_f1))
    assert np.sum(metrics["confusion"]["counts"]) == 12
    assert (tmp_path / "Good" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    # A worker's line says in JSON which worker it is from, and the numbers of its epoch.
    first = next(line for line in said if line.get("backbone") == "Good" and "loss" in line)
    assert first["run"] == metrics["fingerprint"] and first["pid"] and first["level"] == "info"
    assert first["loss"] == pytest.approx(curve.loss[int(first["epoch"]) - 1]) and first["epochs"] == 2
    (failed,) = [line for line in said if line["level"] == "error" and line.get("backbone") == "Wrong"]
    assert failed["kind"] == "WorkError" and "no_such_model" in failed["message"]
    # The epochs stay counted when their worker is gone.
    tags = {"run": metrics["fingerprint"], "backbone": "Good", "fold": ""}
    found = scrape_until(lambda seen: total(seen, "ray_synatt_epochs_total", **tags) >= 2)
    assert total(found, "ray_synatt_epochs_total", **tags) == 2
    assert total(found, "ray_synatt_training_clips_total", **tags) == curve.clips.sum()
    # The same numbers are there for TensorBoard.
    seen = scalars(tmp_path / "tensorboard" / "Good")
    for epoch, row in curve.set_index("epoch").iterrows():
        for name in ("loss", "lr", "macro_f1", "wait_s", "compute_s", "sync_s", "seconds"):
            assert seen[(epoch, name)] == pytest.approx(row[name], rel=1e-5), name


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_with_its_cause_and_without_another_try(job, given, tmp_path):
    worse = ["--backbone", "Good", "--set", "train.lr_start=1e30"]
    code, _, err = job("train", *given, *worse, "--output", tmp_path)
    assert code == 1
    last = err.splitlines()[-1]
    assert "training Good failed: the loss is nan in epoch 1, step " in last, last
    assert "(learning rate 1e+30): the weights have grown out of range" in last and "lower train.lr_max" in last


def test_a_search_finds_the_better_values_and_writes_a_recipe_of_them(job, given, tmp_path):
    argv = [*given, "--backbone", "Good", "--output", tmp_path / "found", "--samples", "3"]
    argv += ["--search", "train.lr_max=loguniform(1e-7, 1e-3)", "--search", "augment.mixup_p=choice(0, 0.65)"]
    code, out, err = job("tune", *argv)
    assert code == 0, err
    assert out.splitlines()[-1] == str(tmp_path / "found" / "epochs.json")
    table = pd.read_parquet(tmp_path / "found" / "search.parquet")
    assert sorted(table["sample"].unique()) == [0, 1, 2] and set(table.fold) == {0, 1}
    assert table["train.lr_max"].between(1e-7, 1e-3).all() and table["augment.mixup_p"].isin([0, 0.65]).all()
    means = table.groupby(["sample", "epoch"]).macro_f1.mean()
    best = means.groupby("sample").max().idxmax()
    values = table[table["sample"] == best].iloc[0]
    recipe = load_recipe(str(tmp_path / "found" / "best.yaml"))
    assert recipe.train.lr_max == values["train.lr_max"] and recipe.augment.mixup_p == values["augment.mixup_p"]
    assert [b.name for b in recipe.backbones] == ["Good"]
    chosen = json.loads((tmp_path / "found" / "epochs.json").read_text())["backbones"]["Good"]
    assert chosen["macro_f1"] == pytest.approx(means.max())
    assert (tmp_path / "found" / "search.png").read_bytes().startswith(b"\x89PNG")
    assert yaml.safe_load((tmp_path / "found" / "best.yaml").read_text())["weights"] == {
        "source": "random",
        "folder": None,
    }
    code, _, err = job("tune", *argv)
    assert code == 0 and "chosen already" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--search", "train.lr_max=uniform(1, 2)"],
            "a search trains one backbone: choose one with --backbone (Wrong, Good)",
        ),
        (["--search", "train.lr=uniform(1, 2)", "--backbone", "Good"], "the recipe has no such key"),
        (["--samples", "0"], "argument --samples: '0' is not a whole number of 1 or more"),
    ],
)
def test_a_bad_search_is_one_line(job, given, tmp_path, more, said):
    code, _, err = job("tune", *given, *more, "--output", tmp_path)
    assert code == 2 and said in err.splitlines()[-1]


def test_a_fold_that_is_not_there_cannot_be_held_out(job, given, tmp_path):
    code, _, err = job("train", *given, "--output", tmp_path, "--set", "train.hold_out_fold=2")
    assert code == 2 and "train.hold_out_fold=2: no rows to judge, there are folds 0 to 1" in err.splitlines()[-1]
