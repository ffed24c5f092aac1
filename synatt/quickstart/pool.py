"""Apply a function to many items in fresh processes."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from synatt.errors import WorkError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(function: Callable[[T], R], items: list[T], workers: int) -> Iterator[R]:
    """`function` of each item, in the order in which they end; in this process when `workers` is 1.

    Raises:
        WorkError: a process was killed from outside. What `function` raises is passed on.
    """
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    # A forked child would inherit locks that the caller's threads hold; these start clean.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, initializer=_one_thread_each)
    try:
        for future in as_completed([pool.submit(function, item) for item in items]):
            yield future.result()
    except BrokenProcessPool:
        raise WorkError("a rendering process was killed (out of memory?); run the same command to go on") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_thread_each() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
