"""A trace of what ran on Ray: which task, on which worker of which node, from when to when."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synatt import storage

log = logging.getLogger("synatt")

# Workers tell once a second what they ran; `ray.timeline` itself waits as long again.
REPORT_S = 1.0
# How Ray begins the category of the event that stands for a task as a whole; its name follows.
WHOLE = "task::"

_file: str | None = None


@contextmanager
def asked(path: str) -> Iterator[None]:
    """Within it the first session on Ray writes its trace to `path`, a file or URI."""
    global _file  # noqa: PLW0603 a job has one trace
    _file = path
    try:
        yield
    finally:
        if _file:
            log.info("nothing ran on Ray: %s is not written", storage.shown(path))
        _file = None


@contextmanager
def kept() -> Iterator[None]:
    """Write the trace that was asked for when the block ends, however it ends; sessions within it write none."""
    global _file
    path, _file = _file, None
    start_s = time.time()
    try:
        yield
    finally:
        if path:
            _write(path, start_s)


def _write(path: str, start_s: float) -> None:
    import ray

    time.sleep(REPORT_S)
    # It announces where a later Ray will read this from.
    logger = logging.getLogger("ray._private.state")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        trace = readable(ray.timeline() or [], start_s)
        storage.write_bytes(path, json.dumps(trace).encode())
        log.info("what ran when is in %s: open it at https://ui.perfetto.dev", storage.shown(path))
    except Exception as err:
        # The job's own result or error is worth more than its trace.
        log.warning("%s is not written: %s: %s", storage.shown(path), type(err).__name__, err)
    finally:
        logger.setLevel(level)


def readable(events: list[dict[str, Any]], start_s: float) -> list[dict[str, Any]]:
    """Ray's events since `start_s` (seconds since 1970), with the tasks' names, in what Perfetto reads too.

    Ray calls every task of Ray Data '_map_task', though its category has the name. Nodes and workers are texts there;
    Perfetto wants numbers, which further events name.
    """
    since = [event for event in events if event["ts"] >= start_s * 1e6]
    nodes = {node: i for i, node in enumerate(sorted({e["pid"] for e in since}), 1)}
    workers = {both: i for i, both in enumerate(sorted({(e["pid"], e["tid"]) for e in since}), 1)}
    tasks = [
        {
            **event,
            "name": event["cat"].removeprefix(WHOLE) if event["cat"].startswith(WHOLE) else event["name"],
            "pid": nodes[event["pid"]],
            "tid": workers[event["pid"], event["tid"]],
        }
        for event in since
    ]
    named = [{"ph": "M", "name": "process_name", "pid": i, "args": {"name": f"node {n}"}} for n, i in nodes.items()]
    named += [
        {"ph": "M", "name": "thread_name", "pid": nodes[node], "tid": i, "args": {"name": worker}}
        for (node, worker), i in workers.items()
    ]
    return [*named, *tasks]
