"""librosa's STFT and HTK mel filters (straight in Hz, not in mel) in a pool of processes."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import N_FFT, RATE_HZ, TOP_DB, Work, by_pool

_WORK: list[Work] = []


def set_up(work: Work) -> None:
    _WORK.append(work)


def batch(paths: tuple[str, ...]) -> np.ndarray:
    import librosa

    work, made = _WORK[0], []
    filters = librosa.filters.mel(sr=RATE_HZ, n_fft=N_FFT, n_mels=work.mel_bins, fmin=20.0, htk=True, norm=None)
    for path in paths:
        wave = librosa.load(path, sr=RATE_HZ, dtype=np.float32)[0]
        clip = ((wave - wave.mean()) / wave.std())[: work.samples]
        padded = np.pad(clip, (0, work.padded - len(clip)))
        spectrum = np.abs(librosa.stft(padded, n_fft=N_FFT, hop_length=work.hop, window="hann", center=False))
        made.append(librosa.amplitude_to_db(filters @ spectrum, ref=1.0, amin=1e-10, top_db=TOP_DB))
    return np.stack(made)


def logmels(work: Work) -> Iterator[np.ndarray]:
    yield from by_pool(work, set_up, batch)
