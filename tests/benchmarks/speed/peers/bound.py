"""The least that any way must do: read the samples, and transform the frames that are not padding. Not a log-mel."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import N_FFT, Work, by_pool

_WORK: list[Work] = []


def set_up(work: Work) -> None:
    import torch

    torch.set_num_threads(1)
    _WORK.append(work)


def batch(paths: tuple[str, ...]) -> np.ndarray:
    """Frames that were transformed, of each file."""
    import soundfile
    import torch

    work, done = _WORK[0], np.zeros(len(paths), int)
    for i, path in enumerate(paths):
        wave = soundfile.read(path, dtype="float32", frames=work.samples)[0]
        spoken = min(work.frames, len(wave) // work.hop + 1)
        padded = np.pad(wave, (0, max(0, (spoken - 1) * work.hop + N_FFT - len(wave))))
        frames_TN = torch.from_numpy(padded).unfold(0, N_FFT, work.hop)[:spoken]
        for block in frames_TN.split(128):
            done[i] += len(torch.fft.rfft(block))
    return done


def logmels(work: Work) -> Iterator[np.ndarray]:
    yield from by_pool(work, set_up, batch)
