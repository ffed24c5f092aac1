"""Lines for machines: one JSON object each, with what is known, without credentials, for errors too."""

import argparse
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from synatt import cli, logs
from synatt.audio import AudioTruncatedError
from synatt.errors import UsageError, WorkError

log = logging.getLogger("synatt")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SYNATT_TRACEBACK", logs.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    kept = log.handlers[:], log.level, log.propagate
    yield
    logs.set_up(logs.TEXT)
    log.handlers[:], log.level, log.propagate = kept


@pytest.fixture
def job() -> argparse.ArgumentParser:
    made = cli.parser("demo", "Does a thing.", "python -m jobs.demo --output x")
    cli.add_output(made)
    return made


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_when_how_grave_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON, job="train")
    log.info("epoch %d\nof two", 1, extra=logs.fields(epoch=1, loss=0.5, backbone="Ä"))
    log.warning("careful")
    first, second = told(capsys)
    assert list(first) == ["time", "level", "logger", "job", "message", "epoch", "loss", "backbone"]
    assert (first["level"], first["logger"], first["job"], first["message"]) == (
        "info",
        "synatt",
        "train",
        "epoch 1\nof two",
    )
    assert (first["epoch"], first["loss"], first["backbone"]) == (1, 0.5, "Ä")
    time = datetime.fromisoformat(str(first["time"]))
    assert time.utcoffset() == timedelta(0) and abs(time.timestamp() - datetime.now().timestamp()) < 60
    assert second["level"] == "warning"


def test_what_json_has_no_number_for_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON)
    values = {"nan": float("nan"), "infinite": -np.inf, "numpy": np.float32(0.5), "path": ("a", 1), "none": None}
    log.info("odd", extra=logs.fields(**values, right=True))
    said = capsys.readouterr().err
    assert "NaN" not in said and "Infinity" not in said
    (line,) = map(json.loads, said.splitlines())
    assert (line["nan"], line["infinite"], line["none"], line["right"]) == ("nan", "-inf", None, True)
    assert line["numpy"] == "0.5" and line["path"] == "('a', 1)"


def test_neither_message_nor_field_shows_a_credential(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON, place="s3://KEY:s3cret@bucket/known")
    log.info("reading %s", "s3://KEY:s3cret@bucket/x", extra=logs.fields(path="s3://KEY:s3cret@bucket/y"))
    try:
        raise WorkError("s3://KEY:s3cret@bucket/z")
    except WorkError as err:
        log.error("failed", exc_info=err)
    first, second = told(capsys)
    assert "s3cret" not in str(first) + str(second)
    assert (first["message"], first["path"]) == ("reading s3://bucket/x", "s3://bucket/y")
    assert "WorkError: s3://bucket/z" in str(second["traceback"])


def test_the_run_is_said_while_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON, job="predict")
    with logs.knowing(run="ab-12"):
        log.info("in")
    log.info("out")
    assert [(line["job"], line.get("run")) for line in told(capsys)] == [("predict", "ab-12"), ("predict", None)]


def test_warnings_of_other_packages_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON)
    logging.getLogger("py.warnings").warning("old")
    (line,) = told(capsys)
    assert (line["logger"], line["message"]) == ("py.warnings", "old")


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (UsageError("no such\nthing"), 2, "UsageError"),
        (WorkError("no such thing"), 1, "WorkError"),
        (AudioTruncatedError("no such thing"), 1, "truncated"),
        (ZeroDivisionError("no such thing"), 1, "ZeroDivisionError"),
    ],
)
def test_an_error_says_its_kind_and_the_exit_code(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], error: Exception, code: int, kind: str
) -> None:
    def work(args: argparse.Namespace) -> str:
        raise error

    assert cli.run(job, work, ["--output", "o", "--log-format", "json"]) == code
    (line,) = told(capsys)
    assert (line["level"], line["kind"], line["exit_code"], line["job"]) == ("error", kind, code, "demo")
    assert "no such thing" in str(line["message"]) and "track" not in line and "traceback" not in line


def test_an_error_names_its_track_and_on_request_where_it_arose(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(args: argparse.Namespace) -> str:
        err = WorkError("broken")
        err.track = "t7"  # type: ignore[attr-defined]
        raise err

    monkeypatch.setenv("SYNATT_TRACEBACK", "1")
    assert cli.run(job, work, ["--output", "o", "--log-format=json"]) == 1
    (line,) = told(capsys)
    assert line["track"] == "t7" and "test_logs.py" in str(line["traceback"])


def test_the_place_of_the_results_stays_the_last_line_of_standard_output(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(logs.VARIABLE, "json")
    assert cli.run(job, lambda args: f"{args.output}/result", ["--output", "out"]) == 0
    assert capsys.readouterr() == ("out/result\n", "")
    assert logs.chosen() == logs.JSON
    # The option wins.
    assert cli.run(job, lambda args: log.info("step") or "x", ["--output", "out", "--log-format", "text"]) == 0
    assert capsys.readouterr().err.endswith(" step\n")


@pytest.mark.parametrize("argv", [["--output"], ["--outptu", "x", "--output", "o"], []])
def test_a_wrong_command_line_is_json_too(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(job, lambda args: "x", ["--log-format", "json", *argv])
    assert stop.value.code == 2
    (line,) = told(capsys)
    assert (line["kind"], line["exit_code"]) == ("UsageError", 2) and "--help" in str(line["message"])


def test_a_format_that_is_none_is_refused_in_one_line(
    job: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(job, lambda args: "x", ["--output", "o", "--log-format", "xml"])
    assert stop.value.code == 2 and "--log-format" in capsys.readouterr().err
    monkeypatch.setenv(logs.VARIABLE, "xml")
    assert cli.run(job, lambda args: "x", ["--output", "o"]) == 2
    assert capsys.readouterr().err == (
        "python -m jobs.demo: error: SYNATT_LOG_FORMAT is 'xml': allowed are text, json\n"
    )


def test_help_names_option_and_variable(job: argparse.ArgumentParser) -> None:
    said = " ".join(job.format_help().split())
    assert "--log-format {text,json}" in said and logs.VARIABLE in said
