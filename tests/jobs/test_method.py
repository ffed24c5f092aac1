"""The jobs one after the other on one small Ray, as a user would run them; each test reads what the last one wrote."""

import csv
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import synatt
from synatt import manifest, storage
from synatt.crossfit import soft_folds

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("method")


def test_prepare_writes_a_manifest(job, work, spcup):
    code, out, err = job("prepare", "--input", spcup, "--layout", "spcup", "--output", work / "data")
    assert code == 0, err
    assert out.splitlines()[-1] == str(work / "data" / "manifest.parquet")
    rows = manifest.read(str(work / "data"))
    assert len(rows) == 36
    assert rows.classes == ("algorithm_0", "algorithm_1", "algorithm_2", "algorithm_3", "algorithm_4", "unknown")


def test_tune_chooses_an_epoch_count_per_backbone(job, work, tiny_yaml):
    code, out, err = job("tune", "--input", work / "data", "--recipe", tiny_yaml, "--output", work / "folds")
    assert code == 0, err
    assert out == f"{work / 'folds' / 'epochs.json'}\n"
    chosen = json.loads((work / "folds" / "epochs.json").read_text())["backbones"]
    curves = pd.read_parquet(work / "folds" / "curves.parquet")
    assert set(chosen) == {"TinyConv", "TinyEff"}
    for name, choice in chosen.items():
        mine = curves[curves.backbone == name]
        assert sorted(mine.fold.unique()) == [0, 1]
        mean = mine.groupby("epoch").macro_f1.mean()
        assert choice["epochs"] == mean.idxmax()
        assert choice["macro_f1"] == pytest.approx(mean.max())
        for kind in ("curves", "confusion"):
            assert (work / "folds" / kind / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_tune_again_does_nothing(job, work, tiny_yaml):
    code, _, err = job("tune", "--input", work / "data", "--recipe", tiny_yaml, "--output", work / "folds")
    assert code == 0
    assert "chosen already" in err


def test_train_writes_a_folder_per_backbone(job, work, tiny_yaml):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", work / "models", "--epochs", work / "folds"]
    code, out, err = job("train", *argv)
    assert code == 0, err
    assert out.splitlines()[-1] == str(work / "models")
    chosen = json.loads((work / "folds" / "epochs.json").read_text())["backbones"]
    for name in ("TinyConv", "TinyEff"):
        folder = work / "models" / name
        assert {p.name for p in folder.iterdir()} == {
            "model.safetensors",
            "recipe.yaml",
            "metrics.json",
            "curve.csv",
            "curve.png",
        }
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["epochs"], metrics["clips"]) == (chosen[name]["epochs"], 24)
        rows = list(csv.DictReader((folder / "curve.csv").open()))
        assert [int(float(r["epoch"])) for r in rows] == list(range(1, chosen[name]["epochs"] + 1))
        assert float(rows[0]["lr"]) == pytest.approx(5e-6)
        assert metrics["data_digest"] and metrics["code"] and metrics["hardware"]["device"] == "cpu"
        # Both backbones train at once and share the cores.
        assert metrics["hardware"]["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
        assert list((work / "models" / "tensorboard" / name).glob("events.out.*"))
    table = pd.read_parquet(work / "models" / "backbones.parquet").set_index("backbone")
    assert (table.status == "trained").all() and list(table.index) == ["TinyConv", "TinyEff"]
    kept = synatt.load_recipe(str(work / "models" / "TinyConv" / "recipe.yaml"))
    assert kept.predict.temperature == pytest.approx(chosen["TinyConv"]["confidence"]["temperature"])


def test_train_again_does_nothing_and_with_another_setting_trains_anew(job, work, tiny_yaml):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", work / "models", "--epochs", work / "folds"]
    before = (work / "models" / "TinyConv" / "model.safetensors").stat().st_mtime_ns
    code, _, err = job("train", *argv)
    assert code == 0 and "trained already" in err
    assert (work / "models" / "TinyConv" / "model.safetensors").stat().st_mtime_ns == before


def test_predict_answers_every_row_with_all_models(job, work, spcup):
    argv = ["--input", spcup / "eval_part1", "--models", work / "models", "--output", work / "pred"]
    code, out, err = job("predict", *argv, "--members", "--answer")
    assert code == 0, err
    table = pd.read_parquet(out.splitlines()[-1])
    assert len(table) == table.track.nunique() == 12
    p = table.filter(like="p_").to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(p.max(axis=1), table.confidence, atol=1e-7)
    members = pd.read_parquet(work / "pred" / "members")
    mean = members.drop(columns=["backbone", "run"]).groupby("track").mean().loc[table.track]
    np.testing.assert_allclose(mean.to_numpy(), p, atol=1e-6)
    answer = zipfile.ZipFile(work / "pred" / "answer.zip").read("answer.txt").decode().splitlines()
    assert dict(line.split(",") for line in answer) == dict(zip(table.track, table.algorithm.astype(int).astype(str)))


def test_predict_gives_the_numbers_of_the_python_call(work, spcup):
    table = pd.read_parquet(work / "pred" / "predictions")
    direct = synatt.load(str(work / "models")).predict(list(table.path))
    columns = [c for c in table.columns if c.startswith("p_")] + ["confidence", "unknown_score", "duration_s"]
    np.testing.assert_allclose(direct[columns].to_numpy(float), table[columns].to_numpy(float), atol=1e-5)
    assert list(direct.algorithm_name) == list(table.algorithm_name)


def test_predict_keeps_every_bad_file_as_a_row_and_its_neighbours_as_they_are(job, work, spcup, speech_wave):
    from tests.badfiles import make_bad_files

    (work / "bad").mkdir()
    bad = make_bad_files(work / "bad", speech_wave)
    good = pd.read_parquet(work / "pred" / "predictions").set_index("track")
    rows = [{"track": f"bad-{name}", "path": str(path)} for name, (path, _) in bad.items()]
    rows += [{"track": t, "path": p} for t, p in good.path.items()]
    manifest.write(str(work / "mixed.parquet"), manifest.build(rows, None))
    code, out, err = job(
        "predict", "--input", work / "mixed.parquet", "--models", work / "models", "--output", work / "mixed"
    )
    assert code == 0, err
    table = pd.read_parquet(work / "mixed" / "predictions").set_index("track")
    assert set(table.index) == {r["track"] for r in rows} and len(table) == len(rows)
    for name, (_, kind) in bad.items():
        row = table.loc[f"bad-{name}"]
        assert row.status == "error" and row.error.startswith(f"{kind}: "), (name, row.error)
        assert pd.isna(row.algorithm) and pd.isna(row.confidence)
    neighbours = table.loc[good.index]
    assert (neighbours.status == "ok").all()
    np.testing.assert_allclose(neighbours.filter(like="p_"), good.filter(like="p_"), atol=1e-6)
    assert f"{len(bad)} errors" in err


def test_predict_fails_when_nothing_could_be_read(job, work, tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    (tmp_path / "b.wav").write_bytes(b"")
    code, _, err = job("predict", "--input", tmp_path, "--models", work / "models", "--output", tmp_path / "out")
    assert code == 2
    assert "none of the 2 recordings" in err.splitlines()[-1]
    assert list(pd.read_parquet(tmp_path / "out" / "predictions").status) == ["error", "error"]


def test_predict_of_an_empty_manifest_has_the_same_schema(job, work, tmp_path):
    manifest.write(str(tmp_path / "none.parquet"), manifest.build([], None))
    code, _, err = job(
        "predict", "--input", tmp_path / "none.parquet", "--models", work / "models", "--output", tmp_path / "o"
    )
    assert code == 0, err
    empty = pq.read_table(storage.parquet_files(str(tmp_path / "o" / "predictions"))[0])
    full = pq.read_table(storage.parquet_files(str(work / "pred" / "predictions"))[0])
    assert empty.schema.equals(full.schema) and not empty.num_rows


def test_predict_refuses_an_output_of_other_models(job, work, spcup):
    argv = ["--input", spcup / "eval_part1", "--models", work / "models" / "TinyConv", "--output", work / "pred"]
    code, _, err = job("predict", *argv, "--members")
    assert code == 2
    assert "the models changed" in err and "--fresh" in err


def test_pseudo_gives_soft_labels(job, work):
    code, out, err = job(
        "pseudo", "--input", work / "data", "--split", "eval", "--models", work / "models", "--output", work / "soft"
    )
    assert code == 0, err
    soft = manifest.read(out.splitlines()[-1])
    assert len(soft) == 12
    np.testing.assert_allclose(manifest.soft_labels(soft).sum(axis=1), 1, atol=1e-5)
    assert set(soft.column("label")) == {None}


def test_train_with_soft_labels_uses_the_second_stage(job, work, tiny_yaml):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", work / "second", "--soft", work / "soft"]
    code, _, err = job("train", *argv, "--backbone", "TinyEff")
    assert code == 0, err
    metrics = json.loads((work / "second" / "TinyEff" / "metrics.json").read_text())
    assert (metrics["stage"], metrics["epochs"], metrics["clips"]) == (2, 3, 36)
    assert not (work / "second" / "TinyConv").exists()


def test_cross_fitted_networks_answer_for_the_soft_labels_they_were_not_taught(job, work, tiny_yaml):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", work / "crossed", "--soft", work / "soft"]
    code, _, err = job("train", *argv, "--backbone", "TinyConv", "--set", "train.soft_label_folds=2")
    assert code == 0, err
    names = ["TinyConv-fold0", "TinyConv-fold1"]
    assert list(pd.read_parquet(work / "crossed" / "backbones.parquet").backbone) == names
    for name in names:
        assert json.loads((work / "crossed" / name / "metrics.json").read_text())["clips"] == 24 + 6
    soft_rows = work / "soft" / "manifest.parquet"
    asked = ["--input", soft_rows, "--models", work / "crossed", "--output", work / "crosspred"]
    code, _, err = job("predict", *asked, "--members")
    assert code == 0, err
    table = pd.read_parquet(work / "crosspred" / "predictions").set_index("track")
    members = pd.read_parquet(work / "crosspred" / "members").set_index(["backbone", "track"]).filter(like="p_")
    soft = manifest.read(str(soft_rows)).column("track")
    fold = dict(zip(soft, soft_folds(soft, 2), strict=True))
    assert len(table) == len(fold) == 12
    for track, row in table.filter(like="p_").iterrows():
        # The network of a fold is the one that was not taught it.
        mine, other = (members.loc[names[k], track] for k in (fold[track], 1 - fold[track]))
        np.testing.assert_allclose(row, mine, atol=1e-6)
        assert np.abs(row - other).max() > 1e-6
    direct = synatt.load(str(work / "crossed")).predict(list(table.path), tracks=list(table.index))
    np.testing.assert_allclose(direct.filter(like="p_"), table.filter(like="p_"), atol=1e-5)


def test_pseudo_leaves_tracks_out_that_the_models_are_not_sure_of(job, work):
    argv = ["--input", work / "data", "--split", "eval", "--models", work / "models", "--output", work / "soft"]
    largest = np.sort(manifest.soft_labels(manifest.read(str(work / "soft" / "manifest.parquet"))).max(axis=1))
    least = float(largest[5:7].mean())
    code, out, err = job("pseudo", *argv, "--least-confidence", least)
    assert code == 0, err
    soft = manifest.read(out.splitlines()[-1])
    np.testing.assert_array_equal(np.sort(manifest.soft_labels(soft).max(axis=1)), largest[6:])
    problems = pd.read_parquet(work / "soft" / "problems.parquet")
    assert problems.kind.tolist() == ["unsure"] * 6
    assert not set(problems.track) & set(soft.column("track"))
    assert problems.detail.str.contains(f"below {least:g}").all()
    code, _, err = job("pseudo", *argv, "--least-confidence", "1")
    assert code == 2 and "less than 1 sure of each of the 12 tracks" in err.splitlines()[-1]
    code, _, err = job("pseudo", *argv, "--least-confidence", "80%")
    assert code == 2 and "'80%' is not a number from 0 to 1" in err.splitlines()[-1]


def test_evaluate_writes_the_report(job, work, spcup):
    argv = ["--input", work / "pred", "--labels", spcup.parent / "truth.csv", "--models", work / "models"]
    code, out, err = job("evaluate", *argv, "--output", work / "report")
    assert code == 0, err
    found = json.loads((work / "report" / "metrics.json").read_text())
    table = pd.read_parquet(work / "pred" / "predictions").merge(pd.read_csv(spcup.parent / "truth.csv"), on="track")
    assert found["overall"]["accuracy"] == pytest.approx((table.algorithm_x == table.algorithm_y).mean())
    assert (
        "<svg" in (work / "report" / "report.html").read_text()
        or "data:image" in (work / "report" / "report.html").read_text()
    )


def test_two_workers_train_with_ddp(job, work, tiny_yaml):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", work / "ddp", "--backbone", "TinyConv"]
    code, _, err = job("train", *argv, "--set", "train.workers=2", "--set", "backbones.TinyConv.batch=[4,4]")
    assert code == 0, err
    metrics = json.loads((work / "ddp" / "TinyConv" / "metrics.json").read_text())
    assert (metrics["workers"], metrics["global_batch"]) == (2, 8)
    row = next(csv.DictReader((work / "ddp" / "TinyConv" / "curve.csv").open()))
    assert float(row["clips"]) == 24  # every row once, over both workers


@pytest.mark.parametrize(
    ("name", "argv", "said"),
    [
        ("train", ["--recipe", "nope"], "no recipe 'nope'"),
        ("train", ["--set", "train.lr=1"], "unknown key 'train.lr'"),
        ("train", ["--set", "train.workers=64"], "train.workers"),
        ("train", ["--backbone", "Nope"], "no backbone 'Nope'"),
        ("train", ["--input", "{work}/nowhere"], "no such file or folder"),
        ("tune", ["--set", "tune.folds=1"], "tune.folds"),
        ("train", ["--set", "weights.source=folder"], "weights.folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(job, work, tiny_yaml, name, argv, said):
    given = [a.format(work=work) for a in argv]
    base = ["--output", work / "never"]
    if "--input" not in given:
        base += ["--input", work / "data"]
    if "--recipe" not in given:
        base += ["--recipe", tiny_yaml]
    code, out, err = job(name, *base, *given)
    assert code == 2 and out == ""
    last = err.splitlines()[-1]
    assert last.startswith(f"python -m jobs.{name}: error: ") and said in last
    assert "Traceback" not in last


@pytest.mark.parametrize("name", ["predict", "pseudo"])
def test_unusable_model_folders_are_one_line_and_exit_2(job, work, spcup, tmp_path, name):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in (work / "models" / "TinyConv").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"torn")
    for folder, said in ((empty, "no model"), (tmp_path / "gone", "no model folder"), (broken, "safetensors")):
        argv = ["--input", spcup / "eval_part1", "--models", folder, "--output", tmp_path / f"out-{folder.name}"]
        code, _, err = job(name, *argv)
        assert code in (1, 2), err
        assert said in err.splitlines()[-1], err.splitlines()[-1]


def test_an_empty_folder_is_one_line_and_exit_2(job, work, tmp_path):
    code, _, err = job("predict", "--input", tmp_path, "--models", work / "models", "--output", tmp_path / "o")
    assert code == 2 and "no recording in" in err.splitlines()[-1]


def test_pretrained_weights_that_cannot_be_had_name_the_folder_option(job, work, tiny_yaml, tmp_path):
    argv = ["--input", work / "data", "--recipe", tiny_yaml, "--output", tmp_path / "o", "--backbone", "TinyConv"]
    code, _, err = job(
        "train",
        *argv,
        "--set",
        "weights={source: folder, folder: " + str(tmp_path) + "}",
        "--set",
        "train.max_failures=0",
    )
    assert code in (1, 2)
    assert "holds no weights of test_convnext" in err.splitlines()[-1]
    assert not Path(tmp_path / "o" / "TinyConv").exists()
