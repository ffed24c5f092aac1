"""A pool that takes every CPU would starve the tasks that feed it; on a single CPU all jobs must still end."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.speechtree import make_spcup, say_all

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from synatt.distributed import session
import ray
ray.init(num_cpus=1, logging_level="ERROR")
from jobs import pipeline
code = pipeline.main(sys.argv[1:])
ray.shutdown()
sys.exit(code)
"""
RECIPE = """
name: tiny
clip: {seconds: 1.0}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {freq_mask_bins: 4, time_mask_frames: 8}
weights: {source: random}
train: {workers: 1}
tune: {run: true, folds: 2, max_epochs: 1}
backbones: [{name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [1, 1]}]
"""


def test_the_pipeline_ends_on_one_cpu(tmp_path):
    data = make_spcup(tmp_path / "data", say_all(), train=2, evaluation=12)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    argv = ["--input", data, "--recipe", tmp_path / "tiny.yaml", "--labels", tmp_path / "truth.csv"]
    command = [sys.executable, "-c", SCRIPT, *map(str, argv), "--output", str(tmp_path / "out")]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / "report" / "report.html")
    table = pd.read_parquet(tmp_path / "out" / "predictions" / "tiny" / "predictions")
    assert len(table) == 12 and (table.status == "ok").all()
