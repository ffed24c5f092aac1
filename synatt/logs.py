"""How progress and errors are written: lines for people, or one JSON object a line for machines.

Standard library only: every job loads this before it knows what to do.
"""

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

TEXT, JSON = FORMATS = ("text", "json")
VARIABLE = "SYNATT_LOG_FORMAT"

log = logging.getLogger("synatt")

_chosen = TEXT
# What every JSON object of this process says: the job, and the run once it has an id.
_known: dict[str, Any] = {}


def chosen() -> str:
    """The format of this process: 'text' or 'json'."""
    return _chosen


def from_environment() -> str:
    """The format that SYNATT_LOG_FORMAT asks for.

    Raises:
        ValueError: there is no such format.
    """
    asked = os.environ.get(VARIABLE) or TEXT
    if asked not in FORMATS:
        raise ValueError(f"{VARIABLE} is {asked!r}: allowed are {', '.join(FORMATS)}")
    return asked


def set_up(form: str, text: str = "%(message)s", **known: Any) -> None:
    """Send this process's lines to standard error in the format `form`.

    Args:
        text: layout of a line of text.
        known: what every JSON object says.
    """
    global _chosen  # noqa: PLW0603 one format a process
    _chosen = form
    _known.clear()
    _known.update(known)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == JSON else TextLines(text, "%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # Warnings of other packages are lines too.
    logging.captureWarnings(form == JSON)
    logging.getLogger("py.warnings").handlers[:] = [handler] if form == JSON else []


def fields(**values: Any) -> dict[str, Any]:
    """`extra=` of a logging call: what the JSON object says besides the message."""
    return {"fields": values}


@contextmanager
def knowing(**more: Any) -> Iterator[None]:
    """Within it every JSON object of this process says `more`."""
    before = dict(_known)
    _known.update(more)
    try:
        yield
    finally:
        _known.clear()
        _known.update(before)


class TextLines(logging.Formatter):
    """A line for a person, in which no URI shows a credential."""

    def format(self, record: logging.LogRecord) -> str:
        return shown_in(super().format(record))


class JsonLines(logging.Formatter):
    """A line for a machine: time, level, logger, what the process knows, the message, the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        more = dict(getattr(record, "fields", {}))
        if record.exc_info:
            more["traceback"] = self.formatException(record.exc_info)
        return line(record.levelname, record.getMessage(), record.name, more, record.created)


def line(level: str, message: str, logger: str, more: Mapping[str, Any], at_s: float) -> str:
    """One JSON object without line breaks.

    Args:
        at_s: seconds since 1970.
    """
    time = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    said = {"time": time, "level": level.lower(), "logger": logger, **_known, "message": message, **more}
    return json.dumps({name: _plain(value) for name, value in said.items()}, ensure_ascii=False)


def error_fields(err: BaseException, code: int) -> dict[str, Any]:
    """What the JSON object of a failed job says: kind of error, exit code, and the track where the error has one."""
    track = getattr(err, "track", None)
    about = {"kind": getattr(err, "kind", type(err).__name__), "exit_code": code}
    return about if track is None else {**about, "track": track}


def _plain(value: Any) -> Any:
    """`value` as JSON has it; text without credentials."""
    if isinstance(value, str):
        return shown_in(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else _plain(str(value))


def shown_in(text: str) -> str:
    """`text` without the credentials that URIs in it carry."""
    if ":/" not in text:
        return text
    from synatt.storage import shown_in  # late: storage is not needed for --help

    return shown_in(text)
