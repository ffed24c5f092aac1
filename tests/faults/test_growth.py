"""A cluster that is its head alone, without a CPU: jobs make it grow, end, and it shrinks again."""

import json
from pathlib import Path

import pytest

from tests.conftest import make_tiny_recipe
from tests.growing import IDLE_S, KINDS, NO_TOKEN, Watch, growing_cluster
from tests.predictrun import answers, ended, make_manifest, start_job, write_model
from tests.speechtree import make_spcup, say_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with growing_cluster(tmp_path_factory.mktemp("growing"), KINDS, IDLE_S) as watch:
        yield watch


def run(watch: Watch, name: str, argv: list[str], log: Path) -> None:
    assert watch.wait_for_none(limit_s=IDLE_S + 60), "the head should be alone before the job"
    watch.seen.clear()
    process = start_job(name, argv, log, {"RAY_ADDRESS": watch.address, **NO_TOKEN})
    with ended(process):
        assert process.wait(timeout=400) == 0, log.read_text()[-4000:]


def test_predict_brings_its_nodes_and_lets_them_go(cluster: Watch, clip_paths: list[str], tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_tiny_recipe(), seed=1)
    manifest = make_manifest(tmp_path / "rows.parquet", clip_paths, 10_000)
    argv = ["--input", manifest, "--models", tmp_path / "model", "--output", tmp_path / "out"]
    argv += ["--cpus", 2]
    run(cluster, "predict", [str(a) for a in argv], tmp_path / "log")
    assert len(answers(tmp_path / "out")) == 10_000
    assert cluster.most("decode") >= 2 and cluster.most("gpu") == 0, cluster.seen
    assert cluster.wait_for_none(limit_s=IDLE_S + 90)


def test_predict_on_gpus_needs_no_word_about_cpus(cluster: Watch, clip_paths: list[str], tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_tiny_recipe(), seed=1)
    manifest = make_manifest(tmp_path / "rows.parquet", clip_paths, 600)
    argv = ["--input", manifest, "--models", tmp_path / "model", "--output", tmp_path / "out", "--gpus", 1]
    run(cluster, "predict", [str(a) for a in argv], tmp_path / "log")
    assert len(answers(tmp_path / "out")) == 600 and cluster.most("gpu") == 1
    assert cluster.wait_for_none(limit_s=IDLE_S + 90)


def test_train_brings_its_nodes_and_lets_them_go(cluster: Watch, tmp_path: Path) -> None:
    from jobs import prepare

    data = make_spcup(tmp_path / "data", say_all(), train=4, evaluation=6)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(tmp_path / "rows")]) == 0
    (tmp_path / "tiny.yaml").write_text(make_tiny_recipe(classes=None).to_yaml())
    argv = ["--input", tmp_path / "rows", "--recipe", tmp_path / "tiny.yaml", "--output", tmp_path / "out"]
    run(cluster, "train", [str(a) for a in [*argv, "--cpus", 2, "--set", "train.workers=2"]], tmp_path / "log")
    metrics = json.loads((tmp_path / "out" / "Tiny" / "metrics.json").read_text())
    assert metrics["workers"] == 2 and cluster.most("decode") >= 2 and cluster.most("gpu") == 0
    assert cluster.wait_for_none(limit_s=IDLE_S + 90)


def test_a_head_alone_is_not_guessed_at(cluster: Watch, clip_paths: list[str], tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_tiny_recipe(), seed=1)
    argv = ["--input", clip_paths[0], "--models", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    process = start_job("predict", argv, tmp_path / "log", {"RAY_ADDRESS": cluster.address, **NO_TOKEN})
    with ended(process):
        assert process.wait(timeout=100) == 2
    assert "no CPU and no GPU now" in (tmp_path / "log").read_text()
