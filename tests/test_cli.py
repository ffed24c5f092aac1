"""What all jobs share: exit codes, one-line errors, the result's place as the last line."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synatt import cli
from synatt.errors import SynattError, UsageError, WorkError
from synatt.recipe import RecipeError

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNATT_TRACEBACK", raising=False)
    log = logging.getLogger("synatt")
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(log, name, getattr(log, name)[:] if name == "handlers" else getattr(log, name))


@pytest.fixture
def job() -> argparse.ArgumentParser:
    made = cli.parser("demo", "Does a thing.", "python -m jobs.demo --output x")
    cli.add_input(made, "manifest or folder")
    cli.add_output(made)
    cli.add_recipe(made, default="part1")
    cli.add_models(made, required=False)
    cli.add_address(made)
    return made


GOOD = ["--input", "a", "--output", "out"]


def raising(error: BaseException):  # type: ignore[no-untyped-def]
    def work(args: argparse.Namespace) -> str:
        raise error

    return work


def test_success_is_0_and_the_place_of_the_results_is_the_last_line(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace) -> str:
        print("a table")
        logging.getLogger("synatt").info("step %d", 1)
        return f"{args.output}/result"

    assert cli.run(job, work, GOOD) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["a table", "out/result"]
    assert shown.err.endswith(" step 1\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong key"), 2),
        (RecipeError("wrong key"), 2),
        (WorkError("wrong key"), 1),
        (SynattError("wrong key"), 1),
        (RuntimeError("wrong key"), 1),
        (KeyError("wrong key"), 1),
        (KeyboardInterrupt(), 1),
    ],
)
def test_a_failure_is_one_line_and_its_exit_code(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    assert cli.run(job, raising(error), GOOD) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("python -m jobs.demo: error: ")
    assert ("run the same command again" if isinstance(error, KeyboardInterrupt) else "wrong key") in line
    assert "Traceback" not in line


def test_sigterm_is_one_line_that_says_so(job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(job, lambda args: str(os.kill(os.getpid(), signal.SIGTERM)), GOOD) == 1
    said = "python -m jobs.demo: error: ended by SIGTERM; run the same command again to go on\n"
    assert capsys.readouterr().err == said


def test_a_message_of_several_lines_becomes_one(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(job, raising(UsageError("one\n  two\nthree")), GOOD)
    assert capsys.readouterr().err == "python -m jobs.demo: error: one two three\n"


def test_an_error_nobody_expected_says_its_type_and_how_to_see_more(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(job, raising(ZeroDivisionError("division by zero")), GOOD)
    assert "ZeroDivisionError: division by zero (SYNATT_TRACEBACK=1 shows where)" in capsys.readouterr().err


def test_the_traceback_is_shown_on_request(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNATT_TRACEBACK", "1")
    assert cli.run(job, raising(UsageError("wrong key")), GOOD) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1] == "python -m jobs.demo: error: wrong key"
    with pytest.raises(ZeroDivisionError):
        cli.run(job, raising(ZeroDivisionError()), GOOD)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--output", "o"], "--input"),
        (["--input", "a"], "--output"),
        ([*GOOD, "--nothing"], "--nothing"),
        ([*GOOD, "--out", "x"], "--out"),
        ([*GOOD, "--recipe"], "--recipe"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(job, raising(AssertionError("must not run")), arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "--help" in line


def test_repeatable_options_gather(job: argparse.ArgumentParser) -> None:
    more = ["--input", "b", "--set", "seed=1", "--set", "name=x", "--models", "m", "--models", "n", "--address", "auto"]
    found = job.parse_args([*GOOD, *more])
    assert (found.input, found.set, found.models) == (["a", "b"], ["seed=1", "name=x"], ["m", "n"])
    assert (found.output, found.recipe, found.address) == ("out", "part1", "auto")
    # Defaults are not shared between calls.
    assert job.parse_args(GOOD).set == job.parse_args(GOOD).models == []


def test_several_recipes_may_be_named_where_a_job_takes_them() -> None:
    made = cli.parser("demo", "x", "x")
    cli.add_recipe(made, default="spcup", repeatable=True)
    cli.add_output(made, default="runs")
    assert made.parse_args(["--recipe", "part1", "--recipe", "part2"]).recipe == ["part1", "part2"]
    assert (made.parse_args([]).recipe, made.parse_args([]).output) == (None, "runs")


def test_help_says_what_the_job_does_and_shows_a_command(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        job.parse_args(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "(default: part1)" in " ".join(shown.split())
    for text in (
        "python -m jobs.demo",
        "Does a thing.",
        "example:\n  python -m jobs.demo --output x",
    ):
        assert text in shown


def test_the_exit_code_and_the_one_line_reach_the_shell() -> None:
    code = (
        "import sys; from synatt import cli; from synatt.errors import UsageError\n"
        "def work(args): raise UsageError('no such thing')\n"
        "sys.exit(cli.run(cli.parser('demo', 'x', 'x'), work, []))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "python -m jobs.demo: error: no such thing\n"
    heavy = "import sys, synatt.cli; print([m for m in ('ray', 'torch', 'numpy', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_credentials_in_a_uri_are_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in progress, nor in an error, nor where the result lies."""
    place = "s3://KEY:s3cret@bucket/out"

    def work(args: object) -> str:
        logging.getLogger("synatt").info("reading %s, --set key=value", place)
        return place

    def fails(args: object) -> str:
        raise UsageError(f"no model folder at {place}")

    assert cli.run(cli.parser("x", "purpose", "example"), work, []) == 0
    assert cli.run(cli.parser("x", "purpose", "example"), fails, []) == 2
    said = "".join(capsys.readouterr())
    assert "s3cret" not in said and said.count("s3://bucket/out") == 3 and "key=value" in said


@pytest.mark.parametrize(
    ("output", "upload", "warned"),
    [
        ("out", {"working_dir": "gcs://_ray_pkg_0.zip"}, True),
        ("/out", {"working_dir": "gcs://_ray_pkg_0.zip"}, False),
        ("s3://bucket/out", {"working_dir": "gcs://_ray_pkg_0.zip"}, False),
        ("out", {}, False),
        ("out", None, False),
    ],
)
def test_a_submitted_job_says_that_its_relative_output_does_not_last(
    job: argparse.ArgumentParser,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    upload: dict[str, str] | None,
    warned: bool,
) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if upload is not None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": upload}))
    assert cli.run(job, lambda args: str(args.output), ["--input", "a", "--output", output]) == 0
    assert (f"{Path.cwd() / 'out'} is in Ray's copy of the submitted folder" in capsys.readouterr().err) == warned
