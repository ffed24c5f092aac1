"""`bound`, and arrays as large as log-mels handed on as `synatt_pool` hands on its own. Not a log-mel."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.benchmarks.speed.peers import bound, synatt_pool
from tests.benchmarks.speed.work import Work, by_pool

if TYPE_CHECKING:
    import torch


def set_up(work: Work) -> None:
    # Its workers keep freed memory.
    synatt_pool.set_up(work)
    bound.set_up(work)


def batch(paths: tuple[str, ...]) -> "torch.Tensor":
    import torch

    work = bound._WORK[0]
    return torch.zeros(len(bound.batch(paths)), work.mel_bins, work.frames)


def logmels(work: Work) -> Iterator["torch.Tensor"]:
    from torch.multiprocessing import get_context

    yield from by_pool(work, set_up, batch, get_context)
