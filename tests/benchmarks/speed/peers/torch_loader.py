"""A torch Dataset in a DataLoader with worker processes; torchaudio's spectrogram and HTK mel scale."""

from collections.abc import Iterator

import numpy as np
import soundfile
import torch

from tests.benchmarks.speed.work import BATCH, N_FFT, RATE_HZ, TOP_DB, Work, stacked


class Clips(torch.utils.data.Dataset[torch.Tensor]):
    def __init__(self, work: Work, paths: tuple[str, ...]) -> None:
        import torchaudio

        self.work, self.paths = work, paths
        self.spectrogram = torchaudio.transforms.Spectrogram(N_FFT, hop_length=work.hop, power=1.0, center=False)
        self.mel = torchaudio.transforms.MelScale(work.mel_bins, RATE_HZ, 20.0, n_stft=N_FFT // 2 + 1, mel_scale="htk")
        self.db = torchaudio.transforms.AmplitudeToDB("magnitude", TOP_DB)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        wave = torch.from_numpy(soundfile.read(self.paths[index], dtype="float32")[0])
        clip = ((wave - wave.mean()) / wave.std(correction=0))[: self.work.samples]
        padded = torch.nn.functional.pad(clip, (0, self.work.padded - len(clip)))
        return self.db(self.mel(self.spectrogram(padded)))


def logmels(work: Work) -> Iterator[np.ndarray]:
    # Enough before the rest that every worker has given some.
    first = work.paths[:1] * BATCH * work.workers
    torch.set_num_threads(1)
    data = Clips(work, first + work.paths)
    loader = torch.utils.data.DataLoader(data, BATCH, num_workers=work.workers, multiprocessing_context="fork")
    batches = iter(loader)
    for _ in range(work.workers):
        next(batches)
    yield np.empty(0)
    yield from stacked(part.numpy() for part in batches)
