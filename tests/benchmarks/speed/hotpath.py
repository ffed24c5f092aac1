"""Where the time of a log-mel goes: milliseconds a clip of each step, one thread.

Processor time, the lowest of the repeats: steps are timed by leaving out all that come after them.
"""

import time
from collections.abc import Callable

import soundfile
import torch

from synatt import logmel
from synatt.allocator import keep_freed_memory
from synatt.audio import load_audio
from synatt.clip import crops
from synatt.recipe import LogMel
from tests.benchmarks.speed.logmels import SETTINGS
from tests.benchmarks.speed.results import Case
from tests.benchmarks.speed.work import RATE_HZ

STEPS = ("pad, find silence", "window", "FFT", "magnitude", "bands")


def as_far_as(clips: list[torch.Tensor], settings: LogMel, last: str) -> None:
    """`logmel_batch` as far as the step `last`, without the logarithm."""
    window, _ = logmel._constants(settings, torch.device("cpu"))
    for clip_1S in clips:
        hop = clip_1S.shape[-1] // (settings.frames - 1)
        _, frames_TN = logmel._heard(clip_1S[0].numpy(), hop, settings)
        if last in ("magnitude", "bands"):
            magnitude_FT = logmel._magnitudes(frames_TN, settings)
            if last == "bands":
                logmel._bands(settings) @ magnitude_FT
        elif last != STEPS[0]:
            for block_TN in frames_TN.split(logmel.BLOCK_FRAMES):
                windowed_TN = block_TN * window
                if last == "FFT":
                    torch.fft.rfft(windowed_TN)


def cases(wavs: tuple[str, ...], repeats: int) -> list[Case]:
    torch.set_num_threads(1)
    keep_freed_memory()
    return [_case(title, wavs, repeats, *values) for title, values in SETTINGS.items()]


def _case(title: str, wavs: tuple[str, ...], repeats: int, seconds: float, mel_bins: int, frames: int) -> Case:
    settings, samples = LogMel(mel_bins=mel_bins, frames=frames), round(seconds * RATE_HZ)
    waves = [load_audio(path).wave for path in wavs]
    clips = [torch.from_numpy(crops(wave, samples, "end", 1)) for wave in waves]

    def ms(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(repeats):
            start = time.process_time()
            work()
            taken.append(1000 * (time.process_time() - start) / len(wavs))
        return min(taken)

    found = {
        "read with soundfile alone": ms(lambda: [soundfile.read(p, dtype="float32", frames=samples) for p in wavs]),
        "read and check (load_audio)": ms(lambda: [load_audio(path) for path in wavs]),
        "standardise and crop (crops)": ms(lambda: [crops(wave, samples, "end", 1) for wave in waves]),
        "log-mel (logmel_batch)": ms(lambda: [logmel.logmel_batch(clip, settings) for clip in clips]),
    }
    before = 0.0
    for step in STEPS:
        until = ms(lambda step=step: as_far_as(clips, settings, step))  # type: ignore[misc]
        found[f"  {step}"], before = until - before, until
    found["  decibels"] = found["log-mel (logmel_batch)"] - before
    case = Case(f"hot path, log-mel {title}", "ms/clip", less=True)
    ours = [found[name] for name in ("read and check (load_audio)", "standardise and crop (crops)")]
    case.add("ours", sum(ours) + found["log-mel (logmel_batch)"])
    case.add("read and FFT", found["read with soundfile alone"] + found["  FFT"])
    case.notes = {name: round(value, 3) for name, value in found.items()}
    print("\n".join(case.lines()), flush=True)
    return case
