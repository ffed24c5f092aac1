"""Plain Ray Data: `read_audio`, then `map_batches` with torchaudio's transforms."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.benchmarks.speed.work import BATCH, N_FFT, RATE_HZ, TOP_DB, Work, stacked


def transform(batch: dict[str, Any], work: Work) -> dict[str, Any]:
    import torch
    import torchaudio

    torch.set_num_threads(1)
    spectrogram = torchaudio.transforms.Spectrogram(N_FFT, hop_length=work.hop, power=1.0, center=False)
    mel = torchaudio.transforms.MelScale(work.mel_bins, RATE_HZ, 20.0, n_stft=N_FFT // 2 + 1, mel_scale="htk")
    db = torchaudio.transforms.AmplitudeToDB("magnitude", TOP_DB)
    made = []
    for amplitude in batch["amplitude"]:
        wave = torch.from_numpy(np.asarray(amplitude, dtype=np.float32)).reshape(-1)
        clip = ((wave - wave.mean()) / wave.std(correction=0))[: work.samples]
        padded = torch.nn.functional.pad(clip, (0, work.padded - len(clip)))
        made.append(db(mel(spectrogram(padded))).numpy())
    return {"path": batch["path"], "logmel": np.stack(made)}


def logmels(work: Work) -> Iterator[np.ndarray]:
    # Under `uv run` Ray would give its workers an environment of their own, without this package.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray

    ray.init(num_cpus=work.workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False

    def batches(paths: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        data = ray.data.read_audio(list(paths), include_paths=True)
        mapped = data.map_batches(transform, batch_size=BATCH, fn_kwargs={"work": work})
        yield from mapped.iter_batches(batch_size=BATCH)

    list(batches(work.paths[:BATCH]))
    yield np.empty(0)
    found = list(batches(work.paths))
    # Ray Data gives rows in any order.
    place = {path: at for at, path in enumerate(work.paths)}
    names = [path for part in found for path in part["path"]]
    values = list(stacked(part["logmel"] for part in found))
    yield from (values[i] for i in np.argsort([place[name] for name in names], kind="stable"))
    ray.shutdown()
