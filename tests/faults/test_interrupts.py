"""Jobs that are interrupted (Ctrl-C) or ended (SIGTERM): they end soon, say how to go on, and do go on."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from tests.conftest import make_tiny_recipe
from tests.predictrun import answers, ended, make_manifest, staged_files, start_job, wait_until, write_model
from tests.speechtree import make_spcup, say_all
from tests.tinyrecipe import HEAD

RECIPE = (
    HEAD
    + """tune: {folds: 2, max_epochs: 30, grace_epochs: 30}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [40, 2]}
"""
)
SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM", signal.SIGUSR1: "the trials were interrupted"}


@pytest.fixture(scope="module")
def argv(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Rows and recipe of a training, as arguments."""
    from jobs import prepare

    folder = tmp_path_factory.mktemp("interrupts")
    data = make_spcup(folder / "data", say_all(), train=4, evaluation=6)
    (folder / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(folder / "rows")]) == 0
    return ["--input", str(folder / "rows"), "--recipe", str(folder / "tiny.yaml")]


def disturb(job: str, argv: list[str], log: Path, ready: Callable[[], bool], number: signal.Signals) -> None:
    """Run a job, send it a signal once it is `ready`, and see how it ends."""
    process = start_job(job, argv, log)
    with ended(process):
        wait_until(ready, process, log)
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == 1, log.read_text()[-3000:]
        _, left = psutil.wait_procs(family, timeout=5)
    assert not left, "processes are left behind"
    (line,) = [line for line in log.read_text().splitlines() if f"jobs.{job}: error" in line]
    assert line.endswith(f"error: {SAID[number]}; run the same command again to go on")
    assert "Traceback" not in log.read_text()


def told(log: Path, sign: str) -> Callable[[], bool]:
    return lambda: re.search(sign, log.read_text()) is not None


def goes_on(job: str, argv: list[str], log: Path) -> str:
    """What the same command says when it is run again, to its end."""
    before = len(log.read_text())
    process = start_job(job, argv, log)
    with ended(process):
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    return log.read_text()[before:]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        # Batch systems send it before they end a job, and Ray Tune takes it.
        pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_tune_chooses_nothing_before_all_its_trials_are_over(
    argv: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    argv = [*argv, "--output", str(out)]
    disturb("tune", argv, log, told(log, r"fold \d epoch [5-9]/30"), number)
    assert not (out / "epochs.json").exists()
    if number != signal.SIGINT:
        # What is chosen then is that of an undisturbed run: see `test_tune_kill`.
        said = goes_on("tune", argv, log)
        assert "going on with the trials in" in said
        assert re.search(r"Tiny fold \d goes on after epoch", said)
        curves = pd.read_parquet(out / "curves.parquet")
        assert list(curves.epoch) == [*range(1, 31)] * 2
        assert json.loads((out / "epochs.json").read_text())["backbones"]["Tiny"]["epochs"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_train_goes_on_from_its_last_epoch(
    argv: list[str], tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    argv = [*argv, "--output", str(out), "--set", f"train.workers={workers}"]
    # An epoch's checkpoint may come after its line.
    disturb("train", argv, log, told(log, "Tiny epoch 4/40"), number)
    assert not (out / "Tiny" / "metrics.json").exists()
    assert re.search(r"Tiny goes on after epoch ([3-9]|\d\d)", goes_on("train", argv, log))
    assert list(pd.read_csv(out / "Tiny" / "curve.csv").epoch) == list(range(1, 41))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_predict_scores_only_what_is_missing(tmp_path: Path, clip_paths: list[str], number: signal.Signals) -> None:
    count, out, log = 30_000, tmp_path / "out", tmp_path / "log"
    write_model(tmp_path / "models" / "A", make_tiny_recipe(name="A"), 0)
    rows = make_manifest(tmp_path / "rows.parquet", clip_paths, count)
    argv = ["--input", str(rows), "--models", str(tmp_path / "models"), "--output", str(out)]
    disturb("predict", argv, log, lambda: len(staged_files(out)) >= 4, number)
    kept = {path: path.stat().st_mtime_ns for path in staged_files(out)}
    assert len(kept) >= 4
    assert not (out / "_manifest.json").exists()
    process = start_job("predict", argv, log)
    with ended(process):
        wait_until(lambda: len(staged_files(out)) >= len(kept) + 4, process, log)
        now = {path: path.stat().st_mtime_ns for path in staged_files(out) if path in kept}
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    assert now == kept, "scored again"
    table = answers(out)
    assert len(table) == table.track.nunique() == count
    assert table.error.isna().all() and np.isfinite(table.unknown_score).all()
