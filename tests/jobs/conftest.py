"""Real speech laid out as a data set, a recipe that trains in a blink, and one small Ray for all job tests."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.speechtree import make_spcup, say_all
from tests.tinyrecipe import HEAD


@pytest.fixture(scope="session")
def spcup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in the SP Cup layout: 6 classes of 4 training tracks each, 12 evaluation tracks of part 1."""
    return make_spcup(tmp_path_factory.mktemp("data") / "data", say_all(), train=4, evaluation=12)


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A Ray of 2 CPUs, the same for all tests of a session."""
    from synatt.distributed import session  # sets what Ray reads from the environment

    del session
    import ray

    # Metrics come once a second instead of every ten.
    os.environ["RAY_metrics_report_interval_ms"] = "1000"
    ray.init(num_cpus=2, logging_level="ERROR", log_to_driver=True)
    yield
    ray.shutdown()


RECIPE = (
    HEAD
    + """tune: {folds: 2, max_epochs: 2}
backbones:
  - {name: TinyConv, timm: test_convnext, batch: [8, 8], epochs: [2, 2]}
  - {name: TinyEff, timm: test_efficientnet, batch: [8, 8], epochs: [2, 3]}
"""
)


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return str(path)


Job = Callable[..., tuple[int, str, str]]


@pytest.fixture
def job(capsys: pytest.CaptureFixture[str]) -> Job:
    """Call a job as the command line does: (exit code, standard output, standard error)."""

    def call(name: str, *argv: str) -> tuple[int, str, str]:
        from importlib import import_module

        try:
            code = import_module(f"jobs.{name}").main([str(a) for a in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@dataclass(frozen=True)
class Finished:
    """A job that has ended: where it ran, what it was given, its exit code and what it wrote."""

    folder: Path
    argv: tuple[str, ...]
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Finished:
    """The quickstart as it ships, but for two or more clips of a kind; its results lie in `folder`/quickstart."""
    for package in ("piper", "pyworld", "diffsptk", "espeakng_loader"):
        pytest.importorskip(package, reason="needs the packages of the extra 'quickstart'")
    from jobs import quickstart as job

    folder, argv = tmp_path_factory.mktemp("quickstart"), ("--scale", "0.05")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = job.main(argv)
    return Finished(folder, argv, code, out.getvalue(), err.getvalue())
