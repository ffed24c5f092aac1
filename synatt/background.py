"""Iterators whose items are made in threads, ahead of need; and noticing when nothing comes any more."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# A thread that nobody listens to any more ends with the item at hand; one that hangs is not waited for longer.
END_S = 10.0


def prefetched(
    items: Iterable[T], ahead: int = 2, patience_s: float | None = None, stalled: Callable[[], Exception] | None = None
) -> Iterator[T]:
    """Yield `items`, made in a thread up to `ahead` before they are asked for; its errors come out here.

    Args:
        patience_s: longest wait for one item; None: for ever.
        stalled: makes the error that is raised when the wait was longer. The thread cannot be ended; it is left alone.
    """
    # An item comes in a tuple: whatever it is, it is neither an error of the thread nor the end.
    box: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                box.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as err:
            put(err)

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    stuck = False
    try:
        while True:
            try:
                item = box.get(timeout=patience_s)
            except queue.Empty:
                stuck = True
                raise (stalled() if stalled else TimeoutError(f"nothing came for {patience_s:.0f} s")) from None
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stop.set()
        if not stuck:
            thread.join(END_S)


def mapped(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`map(work, items)` by some threads, in order, with no more than `threads` results waiting."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
