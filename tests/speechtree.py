"""Real synthetic speech in the layout of the SP Cup data, small enough for a test."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

VOICES = ("en-us+m1", "en-us+f2", "en-us+klatt2", "en-us+whisper", "en-us+croak", "en-gb-x-rp+m3")
TEXTS = ("The boat came in before noon.", "Nine apples lay in the cellar.", "She reads by an open window.")

Speech = dict[tuple[int, int], bytes]


def say_all() -> Speech:
    """(voice, sentence) -> the bytes of a 16 kHz wav file of at most 3 s."""
    pytest.importorskip("espeakng_loader", reason="needs the packages of the extra 'quickstart'")
    import soxr

    from synatt.quickstart.synthesizers.espeak import speak

    out = {}
    for v, voice in enumerate(VOICES):
        for t, text in enumerate(TEXTS):
            said = speak(text, voice, np.random.default_rng(v * 10 + t))
            wave = soxr.resample(np.asarray(said.wave, dtype=np.float32), said.rate_hz, 16_000)
            file = io.BytesIO()
            sf.write(file, wave[: 3 * 16_000], 16_000, format="WAV", subtype="PCM_16")
            out[v, t] = file.getvalue()
    return out


def make_spcup(root: Path, speech: Speech, train: int, evaluation: int) -> Path:
    """Six classes of `train` tracks, and `evaluation` tracks of part 1 in another sentence; truth.csv beside `root`."""
    training, evaluated = root / "training", root / "eval_part1"
    training.mkdir(parents=True)
    evaluated.mkdir()
    rows, truth = ["track,algorithm"], ["track,algorithm"]
    for v in range(len(VOICES)):
        for i in range(train):
            (training / f"t{v}{i:03d}.wav").write_bytes(speech[v, i % 2])
            rows.append(f"t{v}{i:03d}.wav,{v}")
    for i in range(evaluation):
        v = i % len(VOICES)
        name, first = f"e{i:04d}.wav", evaluated / f"e{v:04d}.wav"
        if i < len(VOICES):
            first.write_bytes(speech[v, 2])
        else:
            os.link(first, evaluated / name)
        truth.append(f"{name},{v}")
    (training / "labels.csv").write_text("\n".join(rows) + "\n")
    (evaluated / "labels_eval_part1.csv").write_text("\n".join(r.split(",")[0] for r in truth) + "\n")
    (root.parent / "truth.csv").write_text("\n".join(truth) + "\n")
    return root
