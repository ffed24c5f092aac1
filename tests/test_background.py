"""Work in threads: in order, never far ahead, its errors where its results would be, and no wait without end."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt import background
from synatt.background import mapped, prefetched


class Stalled(Exception):
    pass


class Source:
    """Counts how many items were taken, and knows whether it was closed."""

    def __init__(self, count: int) -> None:
        self.taken, self.closed = 0, threading.Event()
        self._count = count

    def __iter__(self) -> Iterator[int]:
        try:
            for item in range(self._count):
                self.taken += 1
                yield item
        finally:
            self.closed.set()


def prefetch_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@given(st.lists(st.one_of(st.none(), st.integers(), st.builds(ValueError))), st.integers(1, 4))
def test_items_of_any_kind_come_in_order_and_all_of_them(items: list[object], ahead: int) -> None:
    assert list(prefetched(items, ahead)) == items


def test_an_error_comes_out_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("the third")

    found: list[int] = []
    with pytest.raises(KeyError, match="the third"):
        found.extend(prefetched(broken()))
    assert found == [1, 2]
    assert prefetch_threads() == []


def test_no_more_is_made_than_asked_for_ahead() -> None:
    source = Source(100)
    items = prefetched(source, ahead=3)
    assert next(items) == 0
    time.sleep(0.1)
    # One was asked for, three wait, and one more is in the thread's hand.
    assert source.taken <= 5
    items.close()  # type: ignore[attr-defined]


def test_who_stops_early_leaves_no_thread_behind() -> None:
    source = Source(1_000_000)
    for item in prefetched(source):
        if item == 3:
            break
    assert prefetch_threads() == []
    assert source.closed.is_set()


def test_a_source_that_hangs_ends_in_the_error_of_the_caller() -> None:
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait()

    items = prefetched(hanging(), patience_s=0.05, stalled=lambda: Stalled("the decoder hangs"))
    assert next(items) == 1
    with pytest.raises(Stalled, match="the decoder hangs"):
        next(items)
    release.set()


def test_without_an_error_of_its_own_a_long_wait_says_how_long() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError, match="nothing came for 0 s"):
        next(prefetched(iter(release.wait, True), patience_s=0.05))
    release.set()


def test_patience_is_for_one_item_not_for_all() -> None:
    def slow() -> Iterator[int]:
        for item in range(6):
            time.sleep(0.05)
            yield item

    assert list(prefetched(slow(), patience_s=0.25)) == list(range(6))


def test_who_stops_early_does_not_wait_for_ever_for_a_source_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "END_S", 0.05)
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait()

    items = prefetched(hanging())
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    release.set()


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_mapping_in_threads_is_mapping(items: list[int], threads: int) -> None:
    assert list(mapped(lambda item: item * 2, items, threads)) == [item * 2 for item in items]


def test_results_keep_the_order_of_the_items_however_long_each_takes() -> None:
    def work(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0.0)
        return item

    assert list(mapped(work, range(20), 4)) == list(range(20))


def test_no_more_results_wait_than_there_are_threads() -> None:
    source = Source(100)
    results = mapped(lambda item: item, source, 4)
    for number, _ in enumerate(results, start=1):
        assert source.taken <= number + 4
    assert source.taken == 100


def test_work_is_done_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)
    assert list(mapped(lambda item: both.wait() >= 0, range(2), 2)) == [True, True]


def test_an_error_of_the_work_stands_in_the_place_of_its_result() -> None:
    def work(item: int) -> int:
        if item == 5:
            raise KeyError("the sixth")
        return item

    found: list[int] = []
    with pytest.raises(KeyError, match="the sixth"):
        found.extend(mapped(work, range(10), 3))
    assert found == list(range(5))
