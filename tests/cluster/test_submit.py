"""Jobs submitted from a clean checkout to a head that `ray start` started, as on any cluster."""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synatt import manifest
from tests.cluster.checkout import copy_checkout
from tests.cluster.submission import Head, started_head
from tests.conftest import make_tiny_recipe
from tests.predictrun import answers, make_manifest, staged_files, write_model
from tests.speechtree import make_spcup, say_all
from tests.tinyrecipe import HEAD

RECIPE = (
    HEAD
    + """tune: {run: false, folds: 2, max_epochs: 1}
backbones:
  - {name: TinyConv, timm: test_convnext, batch: [8, 8], epochs: [1, 1]}
"""
)
ROWS = 12_000
JOINED = "cluster with 1 nodes, 2 CPUs"


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with started_head(cpus=2) as started:
        yield started


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("submitted") / "checkout")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the jobs read and write, as on storage that all nodes see; `spcup` and `tiny.yaml` are there."""
    folder = tmp_path_factory.mktemp("work")
    make_spcup(folder / "spcup", say_all(), train=4, evaluation=12)
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


def driver(job: str, *argv: object) -> tuple[object, ...]:
    return ("python", "-m", f"jobs.{job}", *argv)


def finished(head: Head, checkout: Path, job: str, *argv: object) -> tuple[str, str]:
    """Submit a job and wait until it has succeeded: what it logged, and its last line."""
    name = f"{job}-{secrets.token_hex(4)}"
    shown = head.submit(name, checkout, *driver(job, *argv))
    assert f"Job '{name}' succeeded" in head.status(name), shown
    said = head.logs(name).rstrip()
    return said, said.splitlines()[-1]


@pytest.mark.slow
def test_status_logs_and_the_exit_code_reach_whoever_submitted(head: Head, checkout: Path, tmp_path: Path) -> None:
    argv = ("--input", tmp_path, "--output", tmp_path / "never", "--recipe", "quickstart", "--set", "train.lr=1")
    head.submit("wrong", checkout, *driver("train", *argv))
    told = head.status("wrong")
    assert "Job 'wrong' failed" in told and "failed with exit code 2" in told
    (line,) = [line for line in head.logs("wrong").splitlines() if "error:" in line]
    assert line.startswith("python -m jobs.train: error: quickstart: unknown key 'train.lr'")
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
class TestEveryJob:
    """One after the other; each reads what the last one wrote."""

    def test_the_uploaded_code_is_what_driver_and_workers_import(self, head: Head, checkout: Path) -> None:
        there = "import ray; ray.init(log_to_driver=False); f = lambda: __import__('synatt').__file__"
        told = "print('driver', f()); print('worker', ray.get(ray.remote(f).remote()))"
        said = head.submit("where", checkout, "python", "-c", f"{there}; {told}")
        for who in ("driver", "worker"):
            assert re.search(rf"^{who} /.*/working_dir_files/_ray_pkg_\w+/synatt/__init__.py$", said, re.MULTILINE), (
                said
            )

    def test_prepare(self, head: Head, checkout: Path, work: Path) -> None:
        said, last = finished(head, checkout, "prepare", "--input", work / "spcup", "--output", work / "rows")
        assert "36 tracks, classes: algorithm_0, " in said
        assert last == str(work / "rows" / "manifest.parquet") and len(manifest.read(last)) == 36

    def test_tune(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "rows", "--recipe", work / "tiny.yaml", "--output", work / "folds")
        said, last = finished(head, checkout, "tune", *argv)
        assert JOINED in said
        # Workers are told apart, without the colours of a terminal.
        for fold in (0, 1):
            assert re.search(rf"^\(train_fold pid=\d+\) TinyConv fold {fold} epoch 1/1: loss \d", said, re.MULTILINE), (
                said
            )
        assert last == str(work / "folds" / "epochs.json")
        assert json.loads(Path(last).read_text())["backbones"]["TinyConv"]["epochs"] == 1

    def test_train(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "rows", "--recipe", work / "tiny.yaml", "--output", work / "models")
        said, last = finished(head, checkout, "train", *argv, "--epochs", work / "folds")
        assert JOINED in said
        assert re.search(r"^\(RayTrainWorker pid=\d+\) TinyConv epoch 1/1: loss \d", said, re.MULTILINE), said
        assert last == str(work / "models")
        assert (work / "models" / "TinyConv" / "model.safetensors").is_file()

    def test_predict(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "spcup" / "eval_part1", "--models", work / "models", "--output", work / "answers")
        said, last = finished(head, checkout, "predict", *argv)
        assert JOINED in said and "12 / 12 clips" in said
        assert last == str(work / "answers" / "predictions")
        assert list(answers(work / "answers").status) == ["ok"] * 12

    def test_pseudo(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "rows", "--split", "eval", "--models", work / "models", "--output", work / "soft")
        said, last = finished(head, checkout, "pseudo", *argv)
        assert JOINED in said and "soft labels for 12 tracks" in said
        assert last == str(work / "soft" / "manifest.parquet") and len(manifest.read(last)) == 12

    def test_evaluate(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "answers", "--labels", work / "truth.csv", "--output", work / "report")
        said, last = finished(head, checkout, "evaluate", *argv)
        assert "macro F1" in said
        assert last == str(work / "report") and (work / "report" / "report.html").is_file()

    def test_perturb(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "spcup" / "eval_part1", "--level", "weak", "--output", work / "perturbed")
        said, last = finished(head, checkout, "perturb", *argv)
        assert JOINED in said and "12 recordings written" in said
        assert last == str(work / "perturbed" / "manifest.parquet") and len(manifest.read(last)) == 12

    def test_enrol(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--models", work / "models", "--input", work / "rows", "--output", work / "enrolled")
        said, last = finished(head, checkout, "enrol", *argv, "--known-new", f"new={work / 'spcup' / 'eval_part1'}")
        assert "TinyConv knows new now, from 12 clips" in said and last == str(work / "enrolled")

    def test_pipeline(self, head: Head, checkout: Path, work: Path) -> None:
        argv = ("--input", work / "spcup", "--labels", work / "truth.csv", "--recipe", work / "tiny.yaml")
        said, last = finished(head, checkout, "pipeline", *argv, "--output", work / "method")
        assert JOINED in said and "TinyConv epoch 1/1" in said
        assert last == str(work / "method" / "report" / "report.html") and Path(last).is_file()
        assert len(answers(work / "method" / "predictions" / "tiny")) == 12

    def test_quickstart(self, head: Head, checkout: Path, work: Path) -> None:
        for package in ("piper", "pyworld", "diffsptk"):
            pytest.importorskip(package, reason="needs the packages of the extra 'quickstart'")
        less = ("--scale", "0.02", "--set", "tune.run=false", "--set", "backbones.0.epochs=[1,1]")
        said, last = finished(head, checkout, "quickstart", *less, "--output", work / "quickstart")
        assert JOINED in said and "EfficientNetLite0 epoch 1/1" in said
        assert last == str(work / "quickstart" / "report" / "report.html") and Path(last).is_file()


@pytest.mark.slow
def test_a_stopped_job_goes_on_where_it_was_when_it_is_submitted_again(
    head: Head, checkout: Path, clip_paths: list[str], tmp_path: Path
) -> None:
    rows, out = make_manifest(tmp_path / "rows.parquet", clip_paths, ROWS), tmp_path / "out"
    write_model(tmp_path / "models" / "Tiny", make_tiny_recipe(), seed=0)
    command = driver("predict", "--input", rows, "--models", tmp_path / "models", "--output", out)
    head.submit("stopped", checkout, *command, options=("--no-wait",))
    head.wait("stopped", lambda: len(staged_files(out)) >= 2)
    assert "Job 'stopped' was stopped" in head.job("stop", "stopped").stdout
    assert "Job 'stopped' was stopped" in head.status("stopped")
    assert not (out / "predictions").exists(), "it was over before it was stopped"
    kept = {path: path.stat().st_mtime_ns for path in staged_files(out)}
    head.submit("resumed", checkout, *command, options=("--no-wait",))
    head.wait("resumed", lambda: len(staged_files(out)) > len(kept))
    again = {path: path.stat().st_mtime_ns for path in staged_files(out)}
    assert kept.items() <= again.items()
    told, said = head.wait("resumed"), head.logs("resumed")
    assert "Job 'resumed' succeeded" in told, said
    (done,) = re.findall(r"([\d,]+) of 12,000 rows are done already", said)
    assert 0 < int(done.replace(",", "")) < ROWS
    table = answers(out)
    assert len(table) == table.track.nunique() == ROWS and (table.status == "ok").all()
    # Each recording is in the manifest many times, and is answered alike before the stop and after it.
    assert table.groupby("path")[list(table.filter(like="p_"))].agg(np.ptp).to_numpy().max() < 1e-6


@pytest.mark.slow
def test_a_stopped_training_goes_on_after_its_last_epoch(
    head: Head, checkout: Path, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "long.yaml").write_text(RECIPE.replace("epochs: [1, 1]", "epochs: [300, 1]"))
    if not (work / "rows").exists():
        finished(head, checkout, "prepare", "--input", work / "spcup", "--output", work / "rows")
    command = driver(
        "train", "--input", work / "rows", "--recipe", tmp_path / "long.yaml", "--output", tmp_path / "out"
    )
    head.submit("training", checkout, *command, options=("--no-wait",))
    head.wait("training", lambda: "epoch 4/300" in head.logs("training"))
    assert "Job 'training' was stopped" in head.job("stop", "training").stdout
    assert not (tmp_path / "out" / "TinyConv" / "metrics.json").exists(), "it was over before it was stopped"
    head.submit("again", checkout, *command, options=("--no-wait",))
    told, said = head.wait("again"), head.logs("again")
    assert "Job 'again' succeeded" in told, said
    (after,) = re.findall(r"TinyConv goes on after epoch (\d+), with 1 worker", said)
    assert int(after) >= 3 and f"epoch {int(after) + 1}/300" in said and f"epoch {after}/300" not in said
    assert len(json.loads((tmp_path / "out" / "TinyConv" / "metrics.json").read_text())) > 0
