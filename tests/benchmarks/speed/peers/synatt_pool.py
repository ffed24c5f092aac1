"""Synatt's own functions, those that `predict` runs in its decode tasks, in a pool of processes without Ray."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import Work, chunks, pool, stacked

_WORK: list[Work] = []


def set_up(work: Work) -> None:
    import torch

    from synatt.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    _WORK.append(work)


def batch(paths: tuple[str, ...]) -> np.ndarray:
    import torch

    from synatt.audio import load_audio
    from synatt.clip import crops
    from synatt.logmel import logmel_batch
    from synatt.recipe import LogMel

    work = _WORK[0]
    settings = LogMel(mel_bins=work.mel_bins, frames=work.frames)
    # As `synatt.ensemble.logmel_crops`, but from the start of the recording, as all peers have it.
    clips = (crops(load_audio(path).wave, work.samples, "end", 1) for path in paths)
    return np.concatenate([logmel_batch(torch.from_numpy(clip), settings).numpy() for clip in clips])


def logmels(work: Work) -> Iterator[np.ndarray]:
    with pool(work.workers, set_up, work) as made:
        # The first batch starts the workers.
        made.map(batch, [work.paths[:1]] * work.workers, chunksize=1)
        yield np.empty(0)
        yield from stacked(made.imap(batch, chunks(work.paths)))
