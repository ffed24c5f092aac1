"""Whole jobs in a bucket of a real S3 server give what they give on a disk; an output that is wrong is one line."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import timm
import torch

from synatt import manifest, storage
from synatt.distributed import experiments
from synatt.weights import save_state
from tests.jobs.conftest import Job
from tests.predictrun import ended, kill_all, start_job, wait_until
from tests.s3server import SECRET, S3Server, point_at, s3_server
from tests.speechtree import make_spcup, say_all

RECIPE = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {freq_mask_bins: 4, time_mask_frames: 8}
weights: {source: folder, folder: PLACE/weights}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 1, threads: 1}
tune: {run: true, folds: 2, max_epochs: 2}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
"""
# What differs from run to run, or tells where it was.
TIMES = ("seconds", "wait_s", "compute_s", "sync_s", "path", "run")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(tmp_path / "served") as running:
        point_at(running, monkeypatch)
        yield running
    storage.set_patience(2.0)


@pytest.fixture
def places(server: S3Server, tmp_path: Path) -> tuple[str, str]:
    """A local folder and one in the bucket, which hold the same data, truth, recipe and weights."""
    local = tmp_path / "local"
    make_spcup(local / "data", say_all(), train=4, evaluation=12)
    torch.manual_seed(0)
    (local / "weights").mkdir()
    save_state(timm.create_model("test_convnext", num_classes=0), str(local / "weights" / "test_convnext.safetensors"))
    for path in [p for p in local.rglob("*") if p.is_file()]:
        storage.write_bytes(f"s3://bucket/lab/{path.relative_to(local)}", path.read_bytes())
    for place in (str(local), "s3://bucket/lab"):
        storage.write_text(f"{place}/tiny.yaml", RECIPE.replace("PLACE", place))
    return str(local), "s3://bucket/lab"


def run(name: str, argv: list[str], log: Path) -> tuple[int, str]:
    """(exit code, all it said) of a job."""
    log.unlink(missing_ok=True)
    process = start_job(name, argv, log)
    with ended(process):
        code = process.wait(timeout=400)
    return code, log.read_text()


def assert_same_tables(ours: Path, theirs: Path) -> None:
    for path in (p.relative_to(theirs) for p in theirs.rglob("*.parquet")):
        got, wanted = pd.read_parquet(ours / path), pd.read_parquet(theirs / path)
        assert list(got.columns) == list(wanted.columns) and len(got) == len(wanted), path
        for column in wanted.columns.difference(TIMES):
            where = f"{path}: {column}"
            if wanted[column].dtype.kind == "f":
                np.testing.assert_allclose(got[column], wanted[column], atol=1e-6, rtol=0, err_msg=where)
            elif column == "p":
                pd.testing.assert_frame_equal(*(pd.DataFrame(t.p.dropna().tolist()) for t in (got, wanted)), atol=1e-6)
            else:
                pd.testing.assert_series_equal(got[column], wanted[column])


def files(folder: Path) -> set[str]:
    """Every file; shards of decoded audio are named by where the recordings lie, TensorBoard's by the time."""
    told = re.compile(r"\w+(\.arrow)$|(tfevents)\.\d+")
    return {told.sub(r"\1\2", str(p.relative_to(folder))) for p in folder.rglob("*") if p.is_file()}


# The recipe of the quickstart is its own: only the epochs are fewer.
FEWER = ["tune.folds=2", "tune.max_epochs=2", "tune.grace_epochs=1", "backbones.EfficientNetLite0.epochs=[2,2]"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), [("tiny", []), ("quickstart", FEWER)])
def test_a_pipeline_in_a_bucket_is_the_local_one(
    server: S3Server, places: tuple[str, str], tmp_path: Path, name: str, settings: list[str]
) -> None:
    """Audio, labels, recipe, weights, manifest, decoded clips, checkpoints, models, predictions and report."""
    said = {}
    for place in places:
        argv = ["--input", f"{place}/data", "--layout", "spcup", "--labels", f"{place}/truth.csv"]
        argv += ["--recipe", f"{place}/tiny.yaml" if name == "tiny" else name, "--output", f"{place}/out"]
        argv += [word for setting in settings for word in ("--set", setting)]
        code, said[place] = run("pipeline", argv, tmp_path / "log")
        assert code == 0, said[place][-3000:]
        assert SECRET not in said[place]
    local, remote = Path(places[0]) / "out", server.folder / "bucket" / "lab" / "out"
    assert files(remote) == files(local)
    assert_same_tables(remote, local)
    weights = sorted(p.relative_to(local) for p in (local / name).rglob("model.safetensors"))
    assert {p.parts[1] for p in weights} == {"supervised", "semi-supervised"}
    for path in weights:
        assert (remote / path).read_bytes() == (local / path).read_bytes()
    for path in remote.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    code, again = run("pipeline", argv, tmp_path / "log")
    assert code == 0 and "to run" not in again and f"done       {name}: predict" in again


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    """Arguments of a job over a few labelled rows, whose files nobody gets as far as to open."""
    labelled = [{"track": f"t{i}", "path": f"/none/t{i}.wav", "label": i % 3, "split": "train"} for i in range(12)]
    judged = [{"track": f"e{i}", "path": f"/none/e{i}.wav", "split": "eval", "part": 1} for i in range(3)]
    manifest.write(
        str(tmp_path / "rows" / "manifest.parquet"), manifest.build(labelled + judged, ("a", "b", "unknown"))
    )
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("PLACE", str(tmp_path)))
    return ["--input", str(tmp_path / "rows"), "--recipe", str(tmp_path / "tiny.yaml"), "--output"]


@pytest.mark.parametrize("name", ["train", "pipeline"])
@pytest.mark.parametrize(
    ("bucket", "wrong", "says"),
    [
        ("none", {}, "no such bucket, check its name and AWS_ENDPOINT_URL"),
        ("bucket", {"AWS_ACCESS_KEY_ID": "AKNOBODY"}, "wrong key, storage does not know it: check AWS_ACCESS_KEY_ID"),
        ("bucket", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "wrong secret for this key: check AWS_ACCESS_KEY_ID"),
        ("bucket", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "does not answer, check the network and AWS_ENDPOINT"),
    ],
    ids=["wrong bucket", "wrong key", "wrong secret", "closed port"],
)
def test_an_output_that_cannot_be_written_is_one_line_before_ray_starts(
    server: S3Server, job: Job, rows: list[str], name: str, bucket: str, wrong: dict[str, str], says: str, monkeypatch
) -> None:
    for key, value in wrong.items():
        monkeypatch.setenv(key, value)
    code, out, err = job(name, *rows, f"s3://{bucket}/out")
    last = err.splitlines()[-1]
    assert code == 2 and out == "" and says in last, err
    assert last.startswith(f"python -m jobs.{name}: error: cannot ") and f"s3://{bucket}/out" in last
    assert SECRET not in err and "Ray 2" not in err and "Traceback" not in err


@pytest.mark.slow
def test_a_tune_in_a_bucket_that_is_killed_goes_on_there(
    server: S3Server, places: tuple[str, str], tmp_path: Path
) -> None:
    log, chosen = tmp_path / "log", {}
    rows = tmp_path / "rows"
    code, said = run("prepare", ["--input", f"{places[0]}/data", "--layout", "spcup", "--output", str(rows)], log)
    assert code == 0, said
    more = ["--set", "tune.max_epochs=20", "--set", "tune.grace_epochs=20"]
    for place in places:
        argv = ["--input", str(rows), "--recipe", f"{place}/tiny.yaml", *more, "--output", f"{place}/folds"]
        log.unlink(missing_ok=True)
        if place == places[1]:
            process = start_job("tune", argv, log)
            with ended(process):
                wait_until(lambda: re.search(r"fold \d epoch [5-9]/20", log.read_text()) is not None, process, log)
                wait_until(lambda: experiments.can_go_on(_trials(f"{place}/folds")), process, log)
                family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
                process.kill()
                process.wait()
                kill_all(family)
            assert not storage.exists(f"{place}/folds/epochs.json"), "tune was over before the kill"
        code, said = run("tune", argv, log)
        assert code == 0, said[-3000:]
        chosen[place] = storage.read_json(f"{place}/folds/epochs.json")["backbones"]
    assert "going on with the trials in s3://bucket/lab/folds/_trials/tune-" in said
    local, remote = Path(places[0]) / "folds", server.folder / "bucket" / "lab" / "folds"
    assert chosen[places[0]]["Tiny"]["epochs"] == chosen[places[1]]["Tiny"]["epochs"]
    assert_same_tables(remote, local)
    assert not list(remote.rglob("_trials/**/*.pt"))
    code, said = run("tune", argv, log)
    assert code == 0 and "the epoch counts are chosen already" in said


def _trials(output: str) -> str:
    (name,) = storage.list_dirs(f"{output}/_trials")
    return f"{output}/_trials/{name}"


@pytest.mark.slow
def test_a_train_in_a_bucket_outlasts_its_server_and_a_killed_driver(
    server: S3Server, places: tuple[str, str], tmp_path: Path
) -> None:
    """The server goes away for some seconds in the middle; then the driver is killed, and the same line goes on."""
    log, rows = tmp_path / "log", tmp_path / "rows"
    code, said = run("prepare", ["--input", f"{places[0]}/data", "--layout", "spcup", "--output", str(rows)], log)
    assert code == 0, said
    for place in places:
        argv = ["--input", str(rows), "--recipe", f"{place}/tiny.yaml", "--set", "backbones.0.epochs=[40,2]"]
        argv += ["--output", f"{place}/models"]
        log.unlink(missing_ok=True)
        if place == places[1]:
            process = start_job("train", argv, log)
            with ended(process):
                wait_until(lambda: "Tiny epoch 3/40" in log.read_text(), process, log)
                server.stop()
                time.sleep(5)
                server.start()
                wait_until(lambda: "Tiny epoch 12/40" in log.read_text(), process, log)
                family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
                process.kill()
                process.wait()
                kill_all(family)
            assert "failed" not in log.read_text()
            kept = [name for name, _ in storage.list_files(f"{place}/models/_runs") if name.endswith("/state.pt")]
            # Ray deletes them behind the training, which made twelve.
            assert 1 <= len(kept) <= 6, "old checkpoints are deleted"
        code, said = run("train", argv, log)
        assert code == 0, said[-3000:]
    assert re.search(r"Tiny goes on after epoch \d+", said)
    local, remote = Path(places[0]) / "models", server.folder / "bucket" / "lab" / "models"
    assert (remote / "Tiny" / "model.safetensors").read_bytes() == (local / "Tiny" / "model.safetensors").read_bytes()
    assert not [p for p in (remote / "_runs").rglob("*") if p.is_file()]
    code, said = run("train", argv, log)
    assert code == 0 and "Tiny is trained already" in said
