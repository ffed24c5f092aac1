"""Prediction goes on when a worker, an actor, a node or the driver is killed, and gives the rows of a calm run."""

import os
import random
import re
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from tests.conftest import make_tiny_recipe
from tests.predictrun import (
    answers,
    assert_same,
    ended,
    kill_all,
    make_manifest,
    staged_files,
    start_predict,
    wait_until,
    workers,
    write_model,
)

ROWS = 10_000
TABLES = ("predictions", "members", "embeddings")
EXTRA = ["--members", "--embeddings"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, clip_paths):
    """(arguments of a run without its output, output of an undisturbed run of it)."""
    folder = tmp_path_factory.mktemp("faults")
    for seed, name in enumerate(("A", "B")):
        write_model(folder / "models" / name, make_tiny_recipe(name=name), seed)
    manifest = make_manifest(folder / "rows.parquet", clip_paths, ROWS)
    argv = ["--input", str(manifest), "--models", str(folder / "models"), *EXTRA]
    log = folder / "calm.log"
    calm = folder / "calm"
    process = start_predict([*argv, "--output", str(calm)], log)
    with ended(process):
        assert process.wait(timeout=240) == 0, log.read_text()[-3000:]
    assert len(answers(calm)) == ROWS and (answers(calm).status == "ok").all()
    assert len(answers(calm, "members")) == 2 * ROWS
    return argv, calm


@pytest.mark.slow
def test_killed_workers_of_both_stages_cost_nothing(run, tmp_path):
    """Two decode workers and two scoring actors, one after the other, each while blocks are coming."""
    argv, calm = run
    out, log = tmp_path / "out", tmp_path / "log"
    process = start_predict([*argv, "--output", str(out)], log)
    with ended(process):
        for title in ["MapBatches(decode)", "MapWorker(MapBatches(Score))"] * 2:
            seen = len(staged_files(out))
            wait_until(lambda seen=seen: len(staged_files(out)) > seen, process, log)
            victims: list[psutil.Process] = []
            while not victims:
                assert process.poll() is None, "the run was over before the worker could be killed"
                victims = workers(title, process.pid)[:1]
            os.kill(victims[0].pid, signal.SIGKILL)
            psutil.wait_procs(victims, timeout=10)
        assert process.wait(timeout=240) == 0, log.read_text()[-3000:]
    assert_same(out, calm, TABLES)


@pytest.mark.slow
def test_a_driver_killed_three_times_loses_and_repeats_nothing(run, tmp_path):
    argv, calm = run
    out, log = tmp_path / "out", tmp_path / "log"
    draw = random.Random(7)
    for after in sorted(draw.sample(range(2, 25), 3)):
        process = start_predict([*argv, "--output", str(out)], log)
        with ended(process):
            wait_until(lambda n=after: len(staged_files(out)) >= n, process, log)
            family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kill_all(family)
        assert not (out / "predictions").exists() and not (out / "_manifest.json").exists()
    kept = {p.name: p.stat().st_mtime_ns for p in staged_files(out)}
    process = start_predict([*argv, "--output", str(out)], log)
    with ended(process):
        wait_until(lambda: len(staged_files(out)) > len(kept) or (out / "_manifest.json").exists(), process, log)
        assert process.wait(timeout=240) == 0, log.read_text()[-3000:]
    done = [
        int(n.replace(",", "")) for n in re.findall(rf"([\d,]+) of {ROWS:,} rows are done already", log.read_text())
    ]
    assert len(done) == 3 and done == sorted(done) and done[-1] > 0
    assert_same(out, calm, TABLES)
    assert not (out / "_staging").exists()


@pytest.mark.slow
def test_a_lost_node_costs_nothing(run, monkeypatch):
    """Two nodes of one CPU each; the one without the driver goes away in the middle."""
    import ray
    from ray.cluster_utils import Cluster

    from jobs import predict

    argv, calm = run
    if ray.is_initialized():
        ray.shutdown()
    # A folder of its own, with a short name for Ray's sockets: the cluster is noted there, for nobody else to join.
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    out = place / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 300 << 20})
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=300 << 20)
        cluster.wait_for_nodes()
        lost = threading.Event()

        def lose() -> None:
            while len(staged_files(out)) < 4 and not lost.wait(0.02):
                pass
            cluster.remove_node(node, allow_graceful=False)
            lost.set()

        watcher = threading.Thread(target=lose)
        watcher.start()
        try:
            assert predict.main([*argv, "--output", str(out), "--address", cluster.address]) == 0
        finally:
            assert lost.is_set(), "the run was over before the node could be lost"
            watcher.join()
        assert_same(out, calm, TABLES)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_a_recording_that_hangs_or_kills_its_decoder_is_named_and_then_costs_its_own_row(run, tmp_path, clip_paths):
    """The decoder is made to hang, then to crash on one file, as a fault in a codec library does."""
    argv, _ = run
    poison = tmp_path / "poison.wav"
    poison.write_bytes(Path(clip_paths[0]).read_bytes())
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time, soundfile\n"
        "real = soundfile.SoundFile.__init__\n"
        "def opened(self, file, *args, **kwargs):\n"
        f"    if isinstance(file, int) and os.readlink(f'/proc/self/fd/{{file}}') == {str(poison)!r}:\n"
        "        time.sleep(600) if os.environ['POISON'] == 'hang' else os.abort()\n"
        "    real(self, file, *args, **kwargs)\n"
        "soundfile.SoundFile.__init__ = opened\n"
    )
    manifest = make_manifest(tmp_path / "rows.parquet", [*clip_paths[:5], str(poison)], 24)
    out, log = tmp_path / "out", tmp_path / "log"
    given = ["--input", str(manifest), *argv[2:4], "--output", str(out), "--stall-minutes", "0.5"]
    path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"

    process = start_predict(given, log, {"PYTHONPATH": path, "POISON": "hang"})
    with ended(process):
        assert process.wait(timeout=300) == 1, log.read_text()[-3000:]
    last = log.read_text().splitlines()[-1]
    assert "no progress for 30 s: stage 'decode' does not come to an end (decode: " in last, last
    assert "run the same command again to go on" in last

    process = start_predict([*given[:-1], "5"], log, {"PYTHONPATH": path, "POISON": "crash"})
    with ended(process):
        assert process.wait(timeout=400) == 0, log.read_text()[-3000:]
    found = answers(out)
    bad = found.path == str(poison)
    assert len(found) == 24 and bad.sum() == 4 and (found.status[bad] == "error").all()
    assert found.error[bad].str.startswith("crashed: the decoder crashed on this recording").all()
    assert (found.status[~bad] == "ok").all()
