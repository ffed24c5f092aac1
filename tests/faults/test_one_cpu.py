"""A pool that takes every CPU would starve the tasks that feed it; on a single CPU all jobs must still end.

The pipeline that is killed three times (`test_pipeline_kills`) runs on one CPU too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.speechtree import make_spcup, say_all

ROOT = Path(__file__).resolve().parents[2]
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


def one_cpu(job: str) -> list[str]:
    """A command that runs `job` on a local Ray of one CPU."""
    lines = ["import sys", "from synatt.distributed import session", "import ray", "ray.init(num_cpus=1)"]
    lines += [f"from jobs import {job}", f"code = {job}.main(sys.argv[1:])", "ray.shutdown()", "sys.exit(code)"]
    return [sys.executable, "-c", "\n".join(lines)]


def test_tuning_ends_on_one_cpu(tmp_path: Path) -> None:
    from jobs import prepare

    data = make_spcup(tmp_path / "data", say_all(), train=2, evaluation=6)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(tmp_path / "rows")]) == 0
    argv = ["--input", tmp_path / "rows", "--recipe", tmp_path / "tiny.yaml", "--output", tmp_path / "folds"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"RAY_ADDRESS": "local"}
    command = [*one_cpu("tune"), *map(str, argv)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(pd.read_parquet(tmp_path / "folds" / "curves.parquet")) == 2
