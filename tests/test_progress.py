"""Progress: one line that renews itself in a terminal, few lines in a log, with figures that a person can act on."""

import io
import logging
from collections import Counter

import pytest

from synatt import progress
from synatt.progress import Progress, Tally, clock, describe, shares


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now_s)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "synatt")
    return caplog


WORK = {"decode": 1.0, "score": 3.0}


def test_a_line_has_rows_rates_errors_and_the_time_left() -> None:
    tally = Tally(rows=2_000, errors=1_234, audio_s=7_200.0)
    assert describe(tally, 0, 10_000, 20.0) == (
        "2,000 / 10,000 clips, 100.0 clips/s, 0.100 h of audio/s, 1,234 errors, 80 s left"
    )


def test_rows_of_an_earlier_run_count_as_done_but_not_as_speed() -> None:
    line = describe(Tally(rows=100), 9_800, 10_000, 10.0)
    assert line.startswith("9,900 / 10,000 clips, 10.0 clips/s, ")
    assert line.endswith(" 10 s left")


@pytest.mark.parametrize(
    ("rows", "before", "said"), [(0, 0, "starting"), (0, 5, "starting"), (5, 5, "done"), (0, 10, "done")]
)
def test_there_is_no_time_left_before_the_first_row_and_after_the_last(rows: int, before: int, said: str) -> None:
    assert describe(Tally(rows=rows), before, 10, 0.0).endswith(f", {said}")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (100, "2 min"),
        (720, "12 min"),
        (5_400, "1 h 30 min"),
        (11_100, "3 h 05 min"),
        (400_000, "111 h 07 min"),
    ],
)
def test_a_length_of_time_is_said_as_a_person_would(seconds: float, said: str) -> None:
    assert clock(seconds) == said


def test_the_shares_of_the_work_add_up() -> None:
    assert shares(Counter({"decode": 12.0, "score": 18.0})) == "decode 40 % (12.0 s), score 60 % (18.0 s)"
    assert shares(Counter()) == ""
    assert shares(Counter({"decode": 0.0})) == "decode 0 % (0.0 s)"


def test_a_log_gets_a_line_per_interval_however_often_blocks_come(time: Time, lines: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    shown = Progress(1_000, out=out)
    for _ in range(130):
        time.now_s += 0.5
        shown.add(1, 0, 1.0, WORK)
    assert [line.split(" clips,")[0] for line in lines.messages] == ["60 / 1,000", "120 / 1,000"]
    assert out.getvalue() == ""


def test_a_terminal_gets_one_line_that_renews_itself(time: Time, lines: pytest.LogCaptureFixture) -> None:
    out = Terminal()
    shown = Progress(100, out=out)
    for _ in range(30):
        time.now_s += 0.1
        shown.add(1, 0, 1.0, WORK)
    written = out.getvalue()
    assert written.count("\r\x1b[2K") in (2, 3)
    assert "\n" not in written
    assert "30 / 100" in written or "29 / 100" in written
    assert lines.messages == []
    shown.finish()
    assert out.getvalue().endswith("\r\x1b[2K")


def test_at_the_end_the_run_is_summed_up_once(time: Time, lines: pytest.LogCaptureFixture) -> None:
    shown = Progress(300, done=100, out=io.StringIO())
    shown.add(150, 3, 600.0, {"decode": 1.0, "score": 3.0})
    shown.add(50, 1, 120.0, {"decode": 1.0, "score": 1.0})
    time.now_s += 10
    shown.finish()
    assert lines.messages == [
        "300 / 300 clips, 20.0 clips/s, 0.020 h of audio/s, 4 errors, done",
        "work by stage: decode 33 % (2.0 s), score 67 % (4.0 s)",
    ]


def test_where_nothing_was_left_to_do_nothing_is_said(time: Time, lines: pytest.LogCaptureFixture) -> None:
    Progress(300, done=300, out=io.StringIO()).finish()
    assert lines.messages == []


def test_what_is_left_is_known(time: Time) -> None:
    shown = Progress(300, done=100, out=io.StringIO())
    assert shown.left == 200
    shown.add(150, 3, 600.0, WORK)
    assert shown.left == 50


def test_lines_for_machines_carry_the_numbers_and_leave_a_terminal_alone(
    time: Time, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synatt.logs._chosen", "json")
    out = Terminal()
    shown = Progress(300, done=100, out=out)
    time.now_s += 40
    shown.add(80, 3, 600.0, WORK)
    assert out.getvalue() == ""
    (record,) = lines.records
    numbers = {"done": 180, "total": 300, "errors": 3, "clips_per_s": 2.0, "seconds": 40.0}
    assert record.fields == numbers  # type: ignore[attr-defined]
