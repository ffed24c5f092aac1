"""`ray job submit`: every job of the contract on a running head, its exit code, its logs, a stop and a rerun."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import make_tiny_recipe
from tests.predictrun import kill_all, make_manifest, write_model
from tests.speechtree import make_spcup, say_all

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RECIPE = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {freq_mask_bins: 4, time_mask_frames: 8}
weights: {source: random}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 1}
tune: {folds: 2, max_epochs: 2}
backbones:
  - {name: Tiny, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
"""


class Head:
    """A Ray head started by its own command line, with the dashboard that jobs are submitted to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        # Its workers find python and our packages on the PATH, as in an image.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.env |= {"RAY_TMPDIR": str(place), "PATH": f"{BIN}{os.pathsep}{self.env['PATH']}"}
        self.port = 18265
        argv = ["start", "--head", "--num-cpus=2", "--port=16379", f"--dashboard-port={self.port}", "--block"]
        argv += ["--object-store-memory=300000000", "--temp-dir", str(place), "--disable-usage-stats"]
        self.log = (place / "head.log").open("wb")
        self.process = subprocess.Popen(
            [str(BIN / "ray"), *argv], env=self.env, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ray(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(
            [str(BIN / "ray"), "job", *argv],
            env={**self.env, "RAY_ADDRESS": self.address},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, said[-3000:]
        return said

    def submit(self, name: str, *argv: str, wait: bool = True, check: bool = True) -> str:
        """Submit a job as the README says; returns all that was said."""
        words = ["submit", "--working-dir", "."] + ([] if wait else ["--no-wait"])
        return self.ray(*words, "--", "python", "-m", f"jobs.{name}", *argv, check=check)

    def status(self, said: str) -> str:
        return self.ray("status", self.id(said))

    @staticmethod
    def id(said: str) -> str:
        found = re.search(r"raysubmit_\w+", said)
        assert found, said
        return found[0]

    def end(self) -> None:
        import psutil

        family = [self.process.pid, *(p.pid for p in psutil.Process(self.process.pid).children(recursive=True))]
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            pass
        kill_all(family)
        self.log.close()


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # A short name, for Ray's sockets.
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    head = Head(place)
    try:
        deadline = time.monotonic() + 90
        while "No jobs" not in (said := head.ray("list", check=False)) and "[]" not in said:
            assert time.monotonic() < deadline and head.process.poll() is None, (place / "head.log").read_text()[-3000:]
            time.sleep(1)
        yield head
    finally:
        head.end()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit")
    make_spcup(folder / "data", say_all(), train=4, evaluation=12)
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


def test_every_job_runs_where_it_was_submitted(head: Head, data: Path) -> None:
    """One after the other, each on what the last one wrote; a job's last line is the place of its result."""
    at, recipe = str(data), str(data / "tiny.yaml")
    rows = ["--input", f"{at}/rows"]
    for name, argv, wrote in [
        ("prepare", ["--input", f"{at}/data", "--layout", "spcup", "--output", f"{at}/rows"], "rows/manifest.parquet"),
        ("tune", [*rows, "--recipe", recipe, "--output", f"{at}/folds"], "folds/epochs.json"),
        ("train", [*rows, "--recipe", recipe, "--output", f"{at}/models", "--epochs", f"{at}/folds"], "models"),
        ("pseudo", [*rows, "--models", f"{at}/models", "--output", f"{at}/soft"], "soft/manifest.parquet"),
        (
            "predict",
            ["--input", f"{at}/data/eval_part1", "--models", f"{at}/models", "--output", f"{at}/out"],
            "out/predictions",
        ),
        (
            "evaluate",
            ["--input", f"{at}/out", "--labels", f"{at}/truth.csv", "--output", f"{at}/report"],
            "report/report.html",
        ),
        (
            "pipeline",
            ["--input", f"{at}/data", "--layout", "spcup", "--recipe", recipe, "--output", f"{at}/all"],
            "all/predictions",
        ),
    ]:
        said = head.submit(name, *argv)
        assert "succeeded" in said, said[-3000:]
        assert f"{at}/{wrote}" in said and (data / wrote).exists(), said[-2000:]
        assert "SUCCEEDED" in head.status(said).upper()
    assert len(pd.read_parquet(data / "out" / "predictions")) == 12


def test_a_mistake_fails_the_job_with_its_line_and_code(head: Head, data: Path) -> None:
    said = head.submit(
        "predict", "--input", "/nowhere", "--models", str(data), "--output", str(data / "no"), check=False
    )
    assert "python -m jobs.predict: error: " in said and "/nowhere" in said
    assert "FAILED" in (status := head.status(said)).upper() and "exit code 2" in status


def test_a_stopped_job_goes_on_when_it_is_submitted_again(head: Head, data: Path, clip_paths: list[str]) -> None:
    write_model(data / "m" / "A", make_tiny_recipe(name="A"), 0)
    rows = make_manifest(data / "many.parquet", clip_paths, 6000)
    argv = ["--input", str(rows), "--models", str(data / "m"), "--output", str(data / "many")]
    said = head.submit("predict", *argv, wait=False)
    staged = data / "many" / "_staging" / "scored"
    deadline = time.monotonic() + 120
    while len(list(staged.glob("*/units/*.parquet"))) < 4:
        assert time.monotonic() < deadline, head.ray("logs", head.id(said))
        time.sleep(0.05)
    assert "stopped" in head.ray("stop", head.id(said)).lower()
    assert "STOPPED" in head.status(said).upper()
    assert not (data / "many" / "predictions").exists()
    said = head.submit("predict", *argv)
    done = re.search(r"([\d,]+) of 6,000 rows are done already", said)
    assert done and 0 < int(done[1].replace(",", "")) < 6000
    assert json.loads((data / "many" / "_manifest.json").read_text())["rows"] == 6000
    assert pd.read_parquet(data / "many" / "predictions").track.nunique() == 6000
