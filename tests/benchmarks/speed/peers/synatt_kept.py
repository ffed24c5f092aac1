"""`synatt_pool` without the last step: log-mels stay where they are made, and only their number comes back."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.peers import synatt_pool
from tests.benchmarks.speed.work import Work, by_pool


def batch(paths: tuple[str, ...]) -> np.ndarray:
    return np.ones(len(synatt_pool.batch(paths)))


def logmels(work: Work) -> Iterator[np.ndarray]:
    yield from by_pool(work, synatt_pool.set_up, batch)
