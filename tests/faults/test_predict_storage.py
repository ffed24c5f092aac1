"""Prediction where storage fails: a bucket that goes away and comes back, a full disk, an output nobody can write."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from synatt import storage
from tests.conftest import make_tiny_recipe
from tests.predictrun import answers, ended, make_manifest, start_predict, wait_until, write_model
from tests.s3server import SECRET, S3Server, point_at, s3_server


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "models" / "A", make_tiny_recipe(name="A"), 0)
    return tmp_path / "models"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(tmp_path / "served") as running:
        point_at(running, monkeypatch)
        yield running


@pytest.mark.slow
def test_everything_in_a_bucket_that_goes_away_in_the_middle(
    server: S3Server, models: Path, clip_paths: list[str], tmp_path: Path
) -> None:
    """Manifest, audio, models and output are in the bucket; the server is killed and started again during the run."""
    count, log = 2000, tmp_path / "log"
    for path in clip_paths:
        storage.write_bytes(f"s3://bucket/clips/{Path(path).name}", Path(path).read_bytes())
    for path in (models / "A").iterdir():
        storage.write_bytes(f"s3://bucket/models/A/{path.name}", path.read_bytes())
    clips = [f"s3://bucket/clips/{Path(path).name}" for path in clip_paths]
    rows = make_manifest(tmp_path / "rows.parquet", clips, count)
    storage.write_bytes("s3://bucket/rows.parquet", rows.read_bytes())
    argv = ["--input", "s3://bucket/rows.parquet", "--models", "s3://bucket/models", "--output", "s3://bucket/out"]
    process = start_predict(argv, log)
    with ended(process):
        staged = server.folder / "bucket" / "out" / "_staging" / "scored"
        wait_until(lambda: len(list(staged.glob("*/units/*.parquet"))) >= 3, process, log)
        server.stop()
        time.sleep(4)
        assert process.poll() is None, "the run was over before the server could be stopped"
        server.start()
        assert process.wait(timeout=300) == 0, log.read_text()[-3000:]
    out = server.folder / "bucket" / "out"
    found = answers(out)
    assert len(found) == found.track.nunique() == count
    assert (found.status == "ok").all()
    assert found.path[0].startswith("s3://bucket/clips/")
    assert storage.read_json("s3://bucket/out/_manifest.json")["rows"] == count
    assert SECRET not in log.read_text()

    local = ["--input", str(make_manifest(tmp_path / "l.parquet", clip_paths, count)), "--models", str(models)]
    calm = start_predict([*local, "--output", str(tmp_path / "calm")], log)
    with ended(calm):
        assert calm.wait(timeout=300) == 0, log.read_text()[-3000:]
    wanted = answers(tmp_path / "calm")
    pd.testing.assert_frame_equal(
        found.drop(columns=["path", "run"]), wanted.drop(columns=["path", "run"]), atol=1e-6, rtol=0
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False)
    if made.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    small_disk: Path, models: Path, clip_paths: list[str], tmp_path: Path
) -> None:
    log, out = tmp_path / "log", small_disk / "out"
    argv = ["--input", str(make_manifest(tmp_path / "rows.parquet", clip_paths, 600)), "--models", str(models)]
    fill = small_disk / "filler"
    fill.write_bytes(bytes(880_000))
    process = start_predict([*argv, "--output", str(out), "--embeddings"], log)
    with ended(process):
        assert process.wait(timeout=240) == 1, log.read_text()[-3000:]
    last = log.read_text().splitlines()[-1]
    assert last.startswith("python -m jobs.predict: error: ") and "No space left on device" in last
    assert not (out / "predictions").exists()
    fill.unlink()
    process = start_predict([*argv, "--output", str(out), "--embeddings"], log)
    with ended(process):
        assert process.wait(timeout=240) == 0, log.read_text()[-3000:]
    assert len(answers(out)) == answers(out).track.nunique() == 600


def test_an_output_that_cannot_be_written_is_one_line(models: Path, clip_paths: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = tmp_path / "log"
    argv = ["--input", str(Path(clip_paths[0]).parent), "--models", str(models)]
    process = start_predict([*argv, "--output", str(tmp_path / "file" / "out")], log)
    with ended(process):
        assert process.wait(timeout=120) == 2
    said = log.read_text().splitlines()
    assert len(said) == 1 and "cannot write" in said[0] and "Not a directory" in said[0]


@pytest.mark.slow
def test_a_model_that_goes_away_during_the_run_is_named_and_the_run_goes_on_when_it_is_back(
    models: Path, clip_paths: list[str], tmp_path: Path
) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    argv = ["--input", str(make_manifest(tmp_path / "rows.parquet", clip_paths, 100)), "--models", str(models)]
    process = start_predict([*argv, "--output", str(out)], log)
    with ended(process):
        wait_until(lambda: (out / "_staging" / "plan.json").exists(), process, log)
        os.rename(models / "A" / "model.safetensors", tmp_path / "away")
        assert process.wait(timeout=240) == 1, log.read_text()[-3000:]
    last = log.read_text().splitlines()[-1]
    assert "prediction stopped: no model folder at" in last and "model.safetensors is missing" in last
    os.rename(tmp_path / "away", models / "A" / "model.safetensors")
    process = start_predict([*argv, "--output", str(out)], log)
    with ended(process):
        assert process.wait(timeout=240) == 0, log.read_text()[-3000:]
    assert len(answers(out)) == 100
    assert pq.read_metadata(next((out / "predictions").iterdir())).num_rows == 100
