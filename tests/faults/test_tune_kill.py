"""`tune` is killed (SIGKILL of the driver) in the middle of its trials; the same line goes on and chooses the same."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from tests.predictrun import ended, kill_all, start_job, wait_until
from tests.speechtree import make_spcup, say_all
from tests.tinyrecipe import HEAD

pytestmark = pytest.mark.slow

RECIPE = (
    HEAD
    + """tune: {folds: 2, max_epochs: 30, grace_epochs: 30}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
"""
)


def test_a_killed_tune_ends_with_the_choice_and_curves_of_an_undisturbed_one(tmp_path: Path) -> None:
    from jobs import prepare

    data = make_spcup(tmp_path / "data", say_all(), train=4, evaluation=6)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(tmp_path / "rows")]) == 0
    argv = ["--input", str(tmp_path / "rows"), "--recipe", str(tmp_path / "tiny.yaml"), "--output"]

    log = tmp_path / "calm.log"
    calm = start_job("tune", [*argv, str(tmp_path / "calm")], log)
    with ended(calm):
        assert calm.wait(timeout=300) == 0, log.read_text()[-3000:]

    log, out = tmp_path / "rough.log", tmp_path / "rough"
    process = start_job("tune", [*argv, str(out)], log)
    with ended(process):
        wait_until(lambda: re.search(r"fold \d epoch [5-9]/30", log.read_text()) is not None, process, log)
        family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kill_all(family)
    assert not (out / "epochs.json").exists(), "tune was over before the kill"
    process = start_job("tune", [*argv, str(out)], log)
    with ended(process):
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    assert "going on with the trials in" in log.read_text()

    chosen, wanted = (json.loads((tmp_path / n / "epochs.json").read_text())["backbones"] for n in ("rough", "calm"))
    assert chosen["Tiny"]["epochs"] == wanted["Tiny"]["epochs"]
    curves, calm_curves = (pd.read_parquet(tmp_path / n / "curves.parquet") for n in ("rough", "calm"))
    assert list(curves.epoch) == list(calm_curves.epoch) == [*range(1, 31)] * 2
    for column in ("loss", "lr", "macro_f1", "accuracy", "temperature"):
        np.testing.assert_allclose(curves[column], calm_curves[column], atol=1e-6, err_msg=column)
