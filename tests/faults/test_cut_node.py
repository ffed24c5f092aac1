"""One of four nodes is cut off from the network in the middle: its processes go on, and nobody can reach them."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.conftest import make_tiny_recipe
from tests.netcluster import NetCluster, net_cluster
from tests.predictrun import (
    answers,
    assert_same,
    ended,
    make_manifest,
    staged_files,
    start_job,
    wait_until,
    write_model,
)
from tests.speechtree import make_spcup, say_all

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[NetCluster]:
    with net_cluster(3) as running:
        yield running


def test_predict_finishes_without_the_node_and_loses_nothing(
    cluster: NetCluster, tmp_path: Path, clip_paths: list[str]
) -> None:
    count, log = 2000, tmp_path / "log"
    write_model(tmp_path / "models" / "A", make_tiny_recipe(name="A"), 0)
    rows = make_manifest(tmp_path / "rows.parquet", clip_paths, count)
    argv = ["--input", str(rows), "--models", str(tmp_path / "models"), "--address", cluster.address, "--output"]
    calm, out = tmp_path / "calm", tmp_path / "out"
    process = start_job("predict", [*argv, str(calm)], log, cluster.env)
    with ended(process):
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    assert "cluster with 4 nodes, 4 CPUs" in log.read_text()

    process = start_job("predict", [*argv, str(out)], log, cluster.env)
    with ended(process):
        wait_until(lambda: len(staged_files(out)) >= 4, process, log)
        lost = cluster.nodes_with("MapBatches")[0]
        cluster.cut(lost)
        assert not (out / "_manifest.json").exists(), "the run was over before the node could be cut off"
        assert process.wait(timeout=400) == 0, log.read_text()[-3000:]
    assert "marked dead" in log.read_text(), "Ray never noticed"
    assert len(answers(out)) == answers(out).track.nunique() == count
    assert_same(out, calm)


RECIPE = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {group_p: 0, mixup_p: 0, cutmix_p: 0}
weights: {source: random}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 2, threads: 1}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [4, 4], epochs: [30, 2]}
"""


def test_train_goes_on_without_the_node_and_ends_with_the_same_weights(cluster: NetCluster, tmp_path: Path) -> None:
    from jobs import prepare

    log = tmp_path / "log"
    data = make_spcup(tmp_path / "data", say_all(), train=4, evaluation=6)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(tmp_path / "rows")]) == 0
    argv = ["--input", str(tmp_path / "rows"), "--recipe", str(tmp_path / "tiny.yaml"), "--address", cluster.address]
    argv += ["--clips", str(tmp_path / "clips"), "--output"]
    calm, out = tmp_path / "calm", tmp_path / "out"
    process = start_job("train", [*argv, str(calm)], log, cluster.env)
    with ended(process):
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]

    log.unlink()
    process = start_job("train", [*argv, str(out)], log, cluster.env)
    with ended(process):
        wait_until(lambda: "Tiny epoch 4/30" in log.read_text(), process, log)
        # One of two workers may be on the head, which stays.
        cluster.cut(cluster.nodes_with("RayTrainWorker")[0])
        assert not (out / "Tiny" / "metrics.json").exists(), "the run was over before the node could be cut off"
        assert process.wait(timeout=400) == 0, log.read_text()[-3000:]
    assert re.search(r"Tiny goes on after epoch \d+, with 2 workers", log.read_text())
    ours, theirs = (load_file(folder / "Tiny" / "model.safetensors") for folder in (out, calm))
    for name, tensor in theirs.items():
        np.testing.assert_allclose(ours[name], tensor, atol=1e-6, err_msg=name)
    curves = [pd.read_csv(folder / "Tiny" / "curve.csv") for folder in (out, calm)]
    assert list(curves[0].epoch) == list(range(1, 31))
    np.testing.assert_allclose(curves[0].loss, curves[1].loss, atol=1e-6)
