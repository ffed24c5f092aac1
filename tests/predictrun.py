"""What the fault tests share: many rows over a few real clips, a tiny trained-looking ensemble, runs to disturb."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from synatt import backbones, model
from synatt.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]


def write_model(folder: Path, recipe: Recipe, seed: int) -> None:
    """A model folder with fixed random weights."""
    torch.manual_seed(seed)
    net = backbones.create(recipe.backbones[0], recipe)
    model.save_model(str(folder), net, recipe, {"macro_f1": 0.5}, [{"epoch": 1, "loss": 1.5}])


def make_manifest(path: Path, clips: list[str], count: int) -> Path:
    """`count` rows under new keys over the same recordings."""
    rows = {"track": [f"t{i:07d}" for i in range(count)], "path": [clips[i % len(clips)] for i in range(count)]}
    pd.DataFrame(rows).to_parquet(path, index=False)
    return path


def answers(output: Path, table: str = "predictions") -> pd.DataFrame:
    frame = pd.read_parquet(output / table)
    return frame.sort_values([c for c in ("track", "backbone") if c in frame.columns], ignore_index=True)


def assert_same(output: Path, calm: Path, tables: tuple[str, ...] = ("predictions",)) -> None:
    """Every key once, and the same answers to 1e-6."""
    for table in tables:
        got, wanted = answers(output, table), answers(calm, table)
        assert list(got.columns) == list(wanted.columns)
        assert len(got) == len(wanted)
        for column in wanted.columns:
            if wanted[column].dtype.kind == "f":
                np.testing.assert_allclose(got[column], wanted[column], atol=1e-6, err_msg=f"{table}.{column}")
            elif column != "embedding":
                pd.testing.assert_series_equal(got[column], wanted[column])


def start_predict(argv: list[str], log: Path, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    return start_job("predict", argv, log, env)


def start_job(name: str, argv: list[str], log: Path, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """`python -m jobs.<name>` as a process of its own, as a person starts it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", f"jobs.{name}", *argv],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A cluster that another test has started here is none of this run's business.
            env={**clean, "RAY_ADDRESS": "local", **(env or {})},
            start_new_session=True,
            # Who started the tests in the background may have them ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        assert process.poll() is None, f"ended too early: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"never got there: {log.read_text()[-3000:]}"
        time.sleep(0.01)


def staged_files(output: Path) -> list[Path]:
    return list((output / "_staging" / "scored").glob("*/units/*.parquet"))


def workers(title: str, above: int) -> list[psutil.Process]:
    """Ray's worker processes below process `above` whose title holds `title`."""
    found = []
    for process in psutil.Process(above).children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Whatever the test does, nothing that the process started is left behind."""
    try:
        yield
    finally:
        family = [process.pid]
        try:
            family += [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
        except psutil.Error:
            pass
        kill_all(family)


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        try:
            psutil.Process(pid).kill()
        except psutil.Error:
            continue
