"""soundfile, scipy's real FFT and a dense mel product in a pool of processes."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import N_FFT, RATE_HZ, TOP_DB, Work, by_pool

_MADE: list[tuple[Work, np.ndarray, np.ndarray]] = []


def set_up(work: Work) -> None:
    from synatt.logmel import mel_matrix

    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    _MADE.append((work, window, mel_matrix(work.mel_bins, N_FFT, 20.0, RATE_HZ / 2)))


def logmel(wave: np.ndarray, work: Work, window: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    import scipy.fft

    clip = ((wave - wave.mean()) / wave.std())[: work.samples].astype(np.float32)
    padded = np.pad(clip, (0, work.padded - len(clip)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[:: work.hop]
    mel = np.abs(scipy.fft.rfft(frames * window)) @ matrix
    db = 20 * np.log10(np.maximum(mel, 1e-10)).T
    return np.maximum(db, db.max() - TOP_DB)


def batch(paths: tuple[str, ...]) -> np.ndarray:
    import soundfile

    return np.stack([logmel(soundfile.read(path, dtype="float32")[0], *_MADE[0]) for path in paths])


def logmels(work: Work) -> Iterator[np.ndarray]:
    yield from by_pool(work, set_up, batch)
