"""The pipeline's driver is killed (SIGKILL) in `prepare`, in a training epoch and in `predict`; a rerun goes on.

All of it on one CPU."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from tests.faults.test_one_cpu import one_cpu
from tests.predictrun import kill_all
from tests.speechtree import make_spcup, say_all
from tests.tinyrecipe import HEAD

ROOT = Path(__file__).resolve().parents[2]
SLOW_RECIPE = (
    HEAD
    + """backbones:
  - {name: TinyConv, timm: test_convnext, batch: [8, 32], epochs: [14, 1]}
"""
)
# Enough evaluation tracks for several chunks, so that `predict` can be caught between two.
EVALUATION = 600


@pytest.fixture(scope="module")
def spcup_large(tmp_path_factory):
    root = make_spcup(tmp_path_factory.mktemp("kills") / "data", say_all(), train=4, evaluation=EVALUATION)
    # Labels without files keep `prepare` busy for some seconds; each becomes a row of the problems table.
    labels = root / "training" / "labels.csv"
    labels.write_text(labels.read_text() + "".join(f"missing{i:07d}.wav,0\n" for i in range(200_000)))
    return root


def command(data: Path, recipe: Path, output: Path) -> list[str]:
    argv = ["--input", data, "--layout", "spcup", "--recipe", recipe, "--labels", data.parent / "truth.csv"]
    return [*one_cpu("pipeline"), *map(str, argv), "--output", str(output)]


def start(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"RAY_ADDRESS": "local"}
    with log.open("ab") as out:
        return subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True)


def kill_when(argv: list[str], log: Path, ready: Callable[[], bool]) -> None:
    """Start the command, SIGKILL its driver the moment `ready`, and Ray's processes with it."""
    driver = start(argv, log)
    deadline = time.monotonic() + 300
    while not ready():
        assert driver.poll() is None, f"ended before it could be killed: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"never got there: {log.read_text()[-2000:]}"
        time.sleep(0.005)
    family = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    # Ray's own processes look for their dead driver only now and then; a machine that is lost takes them along.
    kill_all([p.pid for p in family])
    psutil.wait_procs(family, timeout=10)


def tables(output: Path) -> dict[str, pd.DataFrame]:
    found = {}
    for path in ("manifest/manifest.parquet", "manifest/problems.parquet", "tiny/soft/manifest.parquet"):
        found[path] = pd.read_parquet(output / path)
    found["predictions"] = pd.read_parquet(output / "predictions" / "tiny" / "predictions")
    return {name: frame.sort_values("track", ignore_index=True) for name, frame in found.items()}


@pytest.mark.slow
def test_a_pipeline_killed_three_times_ends_with_the_tables_of_an_undisturbed_one(tmp_path, spcup_large):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(SLOW_RECIPE)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm_log, log = tmp_path / "calm.log", tmp_path / "rough.log"
    assert start(command(spcup_large, recipe, calm), calm_log).wait(timeout=400) == 0, calm_log.read_text()[-3000:]

    argv = command(spcup_large, recipe, rough)
    marker = rough / "_stages" / "prepare.json"
    kill_when(argv, log, marker.exists)
    assert not (rough / "manifest" / "manifest.parquet").exists(), "prepare was over before the kill"

    kill_when(argv, log, lambda: re.search(r"TinyConv epoch [3-9]/14", log.read_text()) is not None)
    assert not (rough / "tiny" / "supervised" / "TinyConv" / "metrics.json").exists(), "training was over"

    staged = rough / "predictions" / "tiny" / "_staging" / "scored" / "00000" / "units"
    kill_when(argv, log, lambda: staged.exists() and any(p.suffix == ".parquet" for p in staged.iterdir()))
    assert not (rough / "predictions" / "tiny" / "predictions").exists(), "predict was over before the kill"
    assert re.search(r"TinyConv goes on after epoch \d+", log.read_text())

    assert start(argv, log).wait(timeout=300) == 0, log.read_text()[-3000:]
    said = log.read_text()
    assert re.search(r"\d+ of 600 rows are done already", said)
    assert re.search(r"to resume +tiny: predict", said) and re.search(r"done +tiny: supervised", said)
    expected, got = tables(calm), tables(rough)
    for name, frame in expected.items():
        assert list(got[name].columns) == list(frame.columns)
        for column in frame.columns:
            if name == "tiny/soft/manifest.parquet" and column == "p":
                np.testing.assert_allclose(np.stack(got[name].p), np.stack(frame.p), atol=1e-6)
            elif frame[column].dtype.kind == "f":
                np.testing.assert_allclose(got[name][column], frame[column], atol=1e-6, err_msg=column)
            elif column != "run":  # the run's id holds the digest of the weights, equal only to the last bit
                pd.testing.assert_series_equal(got[name][column], frame[column])
    weights = ["tiny/semi-supervised/TinyConv/model.safetensors", "tiny/supervised/TinyConv/model.safetensors"]
    for path in weights:
        from safetensors.numpy import load_file

        ours, theirs = load_file(rough / path), load_file(calm / path)
        for tensor, value in theirs.items():
            np.testing.assert_allclose(ours[tensor], value, atol=1e-6, err_msg=f"{path} {tensor}")
