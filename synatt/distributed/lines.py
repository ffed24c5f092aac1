"""Lines of workers: set up there, and shown by the driver, to whom Ray brings what workers write.

Ray puts '(name pid=1)' before each of them; in JSON they are to stay objects, so the driver writes them itself then.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from synatt import logs

# Ray's printer of worker lines, and ours.
RAYS, OURS = "ray_print_logs", "synatt_json_lines"


def set_up_worker(form: str, **known: Any) -> None:
    """Send the lines of this process to standard error, from where Ray takes them; a driver's are left as they are.

    Args:
        form: of the driver, `logs.chosen()`.
        known: what every JSON object says, e.g. the run.
    """
    import ray

    if ray._private.worker.global_worker.mode == ray.WORKER_MODE:
        logs.set_up(form, **known)


def json_lines(batch: dict[str, Any], at_s: float) -> Iterator[str]:
    """What one of Ray's batches of log lines says, as JSON objects that also say which worker it is from.

    Args:
        batch: `lines`, `pid`, `ip`, and `actor_name` or `task_name` where there is one.
        at_s: seconds since 1970, for lines that do not say when they were written.
    """
    from ray._private.ray_constants import LOG_PREFIX_INFO_MESSAGE
    from ray._private.worker import filter_autoscaler_events
    from ray.experimental.tqdm_ray import RAY_TQDM_MAGIC

    worker = {
        "worker": batch.get("actor_name") or batch.get("task_name"),
        "pid": batch.get("pid"),
        "node": batch.get("ip"),
    }
    worker = {name: value for name, value in worker.items() if value}
    lines = batch.get("lines", ())
    # The autoscaler's whole log comes this way; events are what Ray shows of it.
    for text in filter_autoscaler_events(lines) if batch.get("pid") == "autoscaler" else lines:
        said = _object(text)
        if said:
            # Redacted where it was written.
            yield json.dumps({**said, **worker}, ensure_ascii=False)
        elif text.strip() and RAY_TQDM_MAGIC not in text:
            yield logs.line("info", text.rpartition(LOG_PREFIX_INFO_MESSAGE)[2], "ray.worker", worker, at_s)


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a line of ours is; None for any other line."""
    try:
        said = json.loads(text)
    except ValueError:
        return None
    return said if isinstance(said, dict) and {"time", "level", "message"} <= said.keys() else None


@contextmanager
def shown() -> Iterator[Callable[[], None]]:
    """Within it, in a driver that writes JSON, lines of workers and of Ray's Python packages are JSON too.

    Only what Ray's C++ core writes to standard error by itself stays as it is (it begins with '[').

    Yields:
        what to call after Ray was started: it brings its own printer and loggers.
    """
    if logs.chosen() != logs.JSON:
        yield lambda: None
        return
    import ray.data  # its loggers are set up by the import
    from ray._private.ray_logging import global_worker_stdstream_dispatcher as streams

    rays = [pair for pair in streams.handlers if pair[0] == RAYS]
    formatters: dict[logging.Handler, logging.Formatter | None] = {}

    def take_over() -> None:
        streams.remove_handler(RAYS)
        for handler in _ray_handlers():
            formatters.setdefault(handler, handler.formatter)
            handler.setFormatter(logs.JsonLines())

    # What `ray.init` is told in text.
    logging.getLogger("ray").setLevel(logging.WARNING)
    streams.add_handler(OURS, _show)
    take_over()
    try:
        yield take_over
    finally:
        streams.remove_handler(OURS)
        # A Ray that is left has taken its printer away, and brings a new one when it is started again.
        for pair in rays if ray.is_initialized() else ():
            streams.add_handler(*pair)
        for handler, formatter in formatters.items():
            handler.setFormatter(formatter)


def _show(batch: dict[str, Any]) -> None:
    for said in json_lines(batch, time.time()):
        sys.stderr.write(said + "\n")
    sys.stderr.flush()


def _ray_handlers() -> set[logging.Handler]:
    """What Ray's Python loggers write to a terminal with."""
    names = ["ray", *(name for name in logging.root.manager.loggerDict if name.startswith("ray."))]
    found = {handler for name in names for handler in logging.getLogger(name).handlers}
    return {h for h in found if isinstance(h, logging.StreamHandler) and not isinstance(h, logging.FileHandler)}
