"""Files of speech in, log-mels out: Synatt's functions against what people would use instead."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from synatt.audio import load_audio
from tests.benchmarks.speed.results import Case
from tests.benchmarks.speed.work import RATE_HZ, Work

OURS = "synatt_pool"
# What reading and the FFT alone would allow, and ours on its terms: nothing handed on, or arrays as large as log-mels.
BOUNDS = {"bound": "synatt_kept", "bound_handed": OURS}
# Peer -> (package it needs, how far its log-mel may be from ours: mean of the absolute difference in dB).
# Triangles that are straight in Hz differ from those that are straight in mel, most of all where bands are narrow.
PEERS = {
    "tf_data": ("tensorflow", 0.01),
    "torch_loader": ("torchaudio", 1.0),
    "numpy_pool": ("scipy", 0.01),
    "librosa_pool": ("librosa", 1.0),
    "ray_read_audio": ("ray", 1.0),
    "daft_udf": ("daft", 0.01),
}
SETTINGS = {"128x384 of 6 s": (6.0, 128, 384), "256x512 of 8 s": (8.0, 256, 512)}


def as_wavs(clips: list[Path], folder: Path, count: int) -> tuple[str, ...]:
    """`count` wav files, 16-bit mono at 16 kHz, of the recordings `clips`, in turn; TensorFlow reads no other."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, clip in enumerate(clips[:count]):
        path = folder / f"{number:05d}.wav"
        if not path.is_file():
            soundfile.write(path, load_audio(str(clip)).wave, RATE_HZ, subtype="PCM_16")
        made.append(str(path))
    return tuple(itertools.islice(itertools.cycle(made), count))


def run_peer(name: str, file: Path, keep: Path | None = None) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.speed.peer", name, str(file)]
    done = subprocess.run([*command, *(["--keep", str(keep)] if keep else [])], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def cases(wavs: tuple[str, ...], scratch: Path, workers: int, repeats: int, only: list[str]) -> list[Case]:
    """One case for each of `SETTINGS`; all peers are checked before any is timed, then take turns."""
    made = []
    for title, (seconds, mel_bins, frames) in SETTINGS.items():
        case = Case(f"log-mel {title}", "clips/s")
        work, file = Work(wavs, seconds, mel_bins, frames, workers), scratch / "work.json"
        few, keep = Work(wavs[:16], seconds, mel_bins, frames, workers), scratch / "kept.npy"
        few.write(file)
        run_peer(OURS, file, keep)
        truth, used = np.load(keep), [OURS, "synatt_kept", *BOUNDS]
        for name, (package, tolerance) in PEERS.items():
            if only and name not in only:
                continue
            if importlib.util.find_spec(package) is None:
                case.notes[name] = f"left out: {package} is not installed"
                continue
            run_peer(name, file, keep)
            away = np.abs(np.load(keep) - truth)
            assert away.mean() < tolerance, f"{name} is {away.mean():.3f} dB from ours, more than {tolerance}"
            case.notes[f"{name} differs by, mean dB"] = round(float(away.mean()), 4)
            used.append(name)
        work.write(file)
        for repeat in range(repeats):
            # Each is first in turn, so that none always runs on a machine that has just rested.
            for name in used[repeat % len(used) :] + used[: repeat % len(used)]:
                found = run_peer(name, file)
                case.add(name, found["clips_s"])
                case.notes.setdefault("seconds until the workers stand", {})[name] = round(found["start_s"], 1)
        case.rates = {name: case.rates[name] for name in used}
        for bound, ours in BOUNDS.items():
            case.notes[f"{ours} of {bound}"] = round(case.ratio(bound, ours), 3)
        print("\n".join(case.lines()), flush=True)
        made.append(case)
    return made
