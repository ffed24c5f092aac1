"""Training goes on when a worker or a node is lost, when nodes come and go, and when a checkpoint is torn."""

import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file

from synatt.checkpoints import STATE_FILE
from tests.predictrun import ended, kill_all, start_job, wait_until, workers
from tests.speechtree import make_spcup, say_all

# Layer norm and no augmentation, which draws by worker: the weights must not depend on who computed what.
RECIPE = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {group_p: 0, mixup_p: 0, cutmix_p: 0}
weights: {source: random}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 2, hold_out_fold: 0}
tune: {folds: 4}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [4, 4], epochs: [14, 2]}
"""
EPOCHS = 14


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[list[str], Path]:
    """(arguments of a run without its output, output of an undisturbed run of it)."""
    from jobs import prepare

    folder = tmp_path_factory.mktemp("train")
    data = make_spcup(folder / "data", say_all(), train=4, evaluation=6)
    (folder / "tiny.yaml").write_text(RECIPE)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(folder / "rows")]) == 0
    argv = ["--input", str(folder / "rows"), "--recipe", str(folder / "tiny.yaml"), "--clips", str(folder / "clips")]
    process = start_job("train", [*argv, "--output", str(folder / "calm")], folder / "log")
    with ended(process):
        assert process.wait(timeout=200) == 0, (folder / "log").read_text()[-3000:]
    return argv, folder / "calm"


def assert_same_model(output: Path, calm: Path) -> None:
    ours, theirs = (load_file(folder / "Tiny" / "model.safetensors") for folder in (output, calm))
    for name, tensor in theirs.items():
        np.testing.assert_allclose(ours[name], tensor, atol=1e-6, err_msg=name)
    curves = [pd.read_csv(folder / "Tiny" / "curve.csv") for folder in (output, calm)]
    assert list(curves[0].epoch) == list(range(1, EPOCHS + 1))
    for column in ("loss", "lr", "clips", "macro_f1"):
        np.testing.assert_allclose(curves[0][column], curves[1][column], atol=1e-6, err_msg=column)


def epoch_reached(log: Path, epoch: int, epochs: int = EPOCHS) -> Callable[[], bool]:
    return lambda: f"Tiny epoch {epoch}/{epochs}" in log.read_text()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(run, tmp_path):
    argv, calm = run
    out, log = tmp_path / "out", tmp_path / "log"
    process = start_job("train", [*argv, "--output", str(out)], log)
    with ended(process):
        wait_until(epoch_reached(log, 4), process, log)
        os.kill(workers("RayTrainWorker", process.pid)[0].pid, signal.SIGKILL)
        assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    assert re.search(r"Tiny goes on after epoch \d+, with 2 workers", log.read_text())
    assert_same_model(out, calm)


@pytest.mark.slow
def test_a_driver_that_is_killed_and_a_torn_checkpoint_cost_the_epochs_since_the_one_before(run, tmp_path):
    argv, calm = run
    out, log = tmp_path / "out", tmp_path / "log"
    process = start_job("train", [*argv, "--output", str(out)], log)
    with ended(process):
        wait_until(epoch_reached(log, 6), process, log)
        family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kill_all(family)
    whole = sorted((out / "_runs").glob(f"*/checkpoint_*/{STATE_FILE}"))
    assert len(whole) >= 2
    whole[-1].write_bytes(whole[-1].read_bytes()[:-1000])
    # Ray's own list of checkpoints is written in place: half of it may be left.
    (snapshot,) = (out / "_runs").glob("*/checkpoint_manager_snapshot.json")
    snapshot.write_bytes(snapshot.read_bytes()[:50])
    process = start_job("train", [*argv, "--output", str(out)], log)
    with ended(process):
        assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    said = log.read_text()
    assert f"{whole[-1].parent.name}/{STATE_FILE} is torn: going on from the one before it" in said
    assert re.search(r"Tiny goes on after epoch \d+, with 2 workers", said)
    assert_same_model(out, calm)
    assert not (out / "_runs").exists()


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """(cluster, its second node): one CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    # A folder of its own, with a short name for Ray's sockets: the cluster is noted there, for nobody else to join.
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 << 20})
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
        cluster.wait_for_nodes()
        yield cluster, node
    finally:
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)


# Ray takes some seconds to notice a lost node, and waits for workers there in vain.
QUICK = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15"}


@pytest.mark.slow
def test_a_lost_node_that_is_replaced_costs_nothing(run, tmp_path, two_nodes):
    argv, calm = run
    cluster, node = two_nodes
    out, log = tmp_path / "out", tmp_path / "log"
    process = start_job("train", [*argv, "--output", str(out), "--address", cluster.address], log, QUICK)
    with ended(process):
        wait_until(epoch_reached(log, 3), process, log)
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
        assert process.wait(timeout=250) == 0, log.read_text()[-3000:]
    assert re.search(r"Tiny goes on after epoch \d+, with 2 workers", log.read_text())
    assert_same_model(out, calm)


@pytest.mark.slow
def test_nodes_that_go_and_come_change_the_number_of_workers_and_nothing_else(run, tmp_path, two_nodes):
    """Elastic, one worker a node: two nodes, then one, then two again; the global batch stays 8."""
    argv, calm = run
    cluster, node = two_nodes
    out, log = tmp_path / "out", tmp_path / "log"
    more = ["--set", "train.min_workers=1", "--set", "train.resize_s=3", "--set", "backbones.0.epochs=[50,2]"]
    process = start_job("train", [*argv, *more, "--output", str(out), "--address", cluster.address], log, QUICK)
    with ended(process):
        wait_until(epoch_reached(log, 3, 50), process, log)
        cluster.remove_node(node, allow_graceful=False)
        wait_until(lambda: "with 1 worker\n" in log.read_text(), process, log)
        cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
        wait_until(lambda: "with 2 workers\n" in log.read_text(), process, log)
        assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    curve = pd.read_csv(out / "Tiny" / "curve.csv")
    assert list(curve.epoch) == list(range(1, 51))
    counts = [n for n, last in zip(curve.workers, [0, *curve.workers[:-1]], strict=True) if n != last]
    assert counts == [2, 1, 2]
    calm_curve = pd.read_csv(calm / "Tiny" / "curve.csv")
    np.testing.assert_allclose(curve.lr[:EPOCHS], calm_curve.lr, rtol=1e-9)
    np.testing.assert_allclose(curve.loss[:EPOCHS], calm_curve.loss, atol=1e-4)
    np.testing.assert_allclose(curve.macro_f1[:EPOCHS], calm_curve.macro_f1, atol=1e-6)
    assert json.loads((out / "Tiny" / "metrics.json").read_text())["global_batch"] == 8


@pytest.mark.slow
def test_too_little_memory_halves_the_forward_pass_and_keeps_the_global_batch(run, tmp_path):
    """The network's first layer refuses more than two clips at once, as a full GPU does."""
    argv, calm = run
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('ray' in word for word in sys.argv):\n"
        "    import torch\n"
        "    real = torch.nn.functional.conv2d\n"
        "    def small(x, *args, **kwargs):\n"
        "        if x.ndim == 4 and x.shape[0] > 2 and torch.is_grad_enabled():\n"
        "            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')\n"
        "        return real(x, *args, **kwargs)\n"
        "    torch.nn.functional.conv2d = small\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    log = tmp_path / "log"
    plain = start_job("train", [*argv, "--output", str(tmp_path / "no"), "--set", "train.max_failures=0"], log, path)
    with ended(plain):
        assert plain.wait(timeout=200) == 1, log.read_text()[-3000:]
    last = log.read_text().splitlines()[-1]
    assert "out of memory" in last and "raise train.accumulate" in last and "train.halve_batch=true" in last

    out = tmp_path / "out"
    process = start_job("train", [*argv, "--output", str(out), "--set", "train.halve_batch=true"], log, path)
    with ended(process):
        assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    assert (
        "out of memory with 4 clips per forward pass; going on with 2 and more accumulation, 8 a step"
        in log.read_text()
    )
    metrics = json.loads((out / "Tiny" / "metrics.json").read_text())
    assert (metrics["clips_per_forward_pass"], metrics["global_batch"]) == (2, 8)
    curves = [pd.read_csv(folder / "Tiny" / "curve.csv") for folder in (out, calm)]
    np.testing.assert_allclose(curves[0].loss, curves[1].loss, atol=1e-4)
