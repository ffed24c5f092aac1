"""`bound`, and arrays as large as log-mels handed on as `synatt_pool` hands on its own. Not a log-mel."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.speed.peers import bound, synatt_pool
from tests.benchmarks.speed.work import Work

if TYPE_CHECKING:
    import torch


def set_up(work: Work) -> None:
    synatt_pool.set_up(work)
    bound.set_up(work)


def batch(paths: tuple[str, ...]) -> "torch.Tensor":
    import torch

    work = bound._WORK[0]
    return torch.zeros(len(bound.batch(paths)), work.mel_bins, work.frames)


def logmels(work: Work) -> Iterator[np.ndarray]:
    yield from synatt_pool.handed_on(work, set_up, batch)
