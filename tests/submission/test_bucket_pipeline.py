"""The whole pipeline with everything in a bucket (a real S3 server) ends with the tables of a local one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synatt import storage
from tests.predictrun import ended, start_job
from tests.s3server import AMBIENT, SECRET, S3Server, s3_server
from tests.speechtree import make_spcup, say_all

pytestmark = pytest.mark.slow

RECIPE = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {freq_mask_bins: 4, time_mask_frames: 8}
weights: {source: random}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 1}
tune: {run: true, folds: 2, max_epochs: 2}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(tmp_path / "served") as running:
        for name in AMBIENT:
            monkeypatch.delenv(name, raising=False)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_pipeline_in_a_bucket_is_the_local_one(server: S3Server, tmp_path: Path) -> None:
    data = make_spcup(tmp_path / "data", say_all(), train=4, evaluation=12)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for path in [p for p in data.rglob("*") if p.is_file()]:
        storage.write_bytes(f"s3://bucket/data/{path.relative_to(data)}", path.read_bytes())
    storage.write_bytes("s3://bucket/truth.csv", (tmp_path / "truth.csv").read_bytes())
    storage.write_bytes("s3://bucket/tiny.yaml", RECIPE.encode())
    log = tmp_path / "log"
    for place, output in ((str(tmp_path), str(tmp_path / "out")), ("s3://bucket", "s3://bucket/out")):
        argv = ["--input", f"{place}/data", "--layout", "spcup", "--labels", f"{place}/truth.csv"]
        process = start_job("pipeline", [*argv, "--recipe", f"{place}/tiny.yaml", "--output", output], log)
        with ended(process):
            assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    local, remote = tmp_path / "out", server.folder / "bucket" / "out"
    assert SECRET not in log.read_text()
    for path in ("predictions/tiny/predictions", "tiny/tune/curves.parquet", "tiny/soft/manifest.parquet"):
        ours, theirs = pd.read_parquet(remote / path), pd.read_parquet(local / path)
        assert len(ours) == len(theirs)
        for column in ours.columns:
            if ours[column].dtype.kind == "f" and not column.endswith(("_s", "seconds")):
                np.testing.assert_allclose(ours[column], theirs[column], atol=1e-6, err_msg=f"{path} {column}")
    assert (remote / "report" / "report.html").stat().st_size > 10_000
    for below in remote.rglob("*"):
        if below.is_file():
            assert SECRET.encode() not in below.read_bytes(), below
