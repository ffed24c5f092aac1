"""How fast `predict` is once it has started."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from synatt.progress import Progress


@dataclass
class Pace:
    """When how many rows were done: seconds of `time.perf_counter`."""

    begun: float = field(default_factory=time.perf_counter)
    seen: list[tuple[float, int]] = field(default_factory=list)

    @property
    def first_s(self) -> float:
        """Seconds until the first block was done."""
        return self.seen[0][0] - self.begun

    @property
    def clips_s(self) -> float:
        """Rate of one stage: from a quarter of the rows on, when every worker has started, to the last block."""
        done = np.cumsum([n for _, n in self.seen])
        skip = int(np.searchsorted(done, done[-1] / 4))
        return float((done[-1] - done[skip]) / (self.seen[-1][0] - self.seen[skip][0]))

    @property
    def whole_clips_s(self) -> float:
        """Rate of `predict`: from the first block to the last. A quarter on, decoding may have run ahead of scoring."""
        return float(sum(n for _, n in self.seen[1:]) / (self.seen[-1][0] - self.seen[0][0]))


@contextmanager
def watched() -> Iterator[Pace]:
    """Take down the progress of the `predict` that runs inside."""
    pace, add = Pace(), Progress.add

    def recorded(self: Progress, rows: int, *rest: object) -> None:
        pace.seen.append((time.perf_counter(), rows))
        add(self, rows, *rest)  # type: ignore[arg-type]

    Progress.add = recorded  # type: ignore[method-assign]
    try:
        yield pace
    finally:
        Progress.add = add  # type: ignore[method-assign]
