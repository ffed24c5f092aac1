"""The least that any way must do: read the samples, and transform the frames that are not padding. Not a log-mel."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import N_FFT, Work, chunks, pool

_WORK: list[Work] = []


def set_up(work: Work) -> None:
    import torch

    torch.set_num_threads(1)
    _WORK.append(work)


def batch(paths: tuple[str, ...]) -> int:
    import soundfile
    import torch

    work, done = _WORK[0], 0
    for path in paths:
        wave = soundfile.read(path, dtype="float32", frames=work.samples)[0]
        spoken = min(work.frames, len(wave) // work.hop + 1)
        padded = np.pad(wave, (0, max(0, (spoken - 1) * work.hop + N_FFT - len(wave))))
        frames_TN = torch.from_numpy(padded).unfold(0, N_FFT, work.hop)[:spoken]
        for block in frames_TN.split(128):
            done += len(torch.fft.rfft(block))
    return done


def logmels(work: Work) -> Iterator[np.ndarray]:
    with pool(work.workers, set_up, work) as made:
        made.map(batch, [work.paths[:1]] * work.workers, chunksize=1)
        yield np.empty(0)
        for part, done in zip(chunks(work.paths), made.imap(batch, chunks(work.paths)), strict=True):
            assert done
            yield from [np.empty(0)] * len(part)
