"""Synatt's own functions, those that `predict` runs in its decode tasks, in a pool of processes without Ray.

Log-mels come back through shared memory, as from torch's DataLoader.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.benchmarks.speed.work import Work, by_pool

if TYPE_CHECKING:
    import torch

_WORK: list[Work] = []


def set_up(work: Work) -> None:
    import torch

    from synatt.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    _WORK.append(work)


def batch(paths: tuple[str, ...]) -> "torch.Tensor":
    import torch

    from synatt.audio import load_audio
    from synatt.clip import crops
    from synatt.logmel import logmel_batch
    from synatt.recipe import LogMel

    work = _WORK[0]
    settings = LogMel(mel_bins=work.mel_bins, frames=work.frames)
    # As `synatt.ensemble.logmel_crops`, but from the start of the recording, as all peers have it.
    clips = (crops(load_audio(path).wave, work.samples, "end", 1) for path in paths)
    return torch.cat([logmel_batch(torch.from_numpy(clip), settings) for clip in clips])


def logmels(work: Work) -> Iterator["torch.Tensor"]:
    from torch.multiprocessing import get_context

    yield from by_pool(work, set_up, batch, get_context)
