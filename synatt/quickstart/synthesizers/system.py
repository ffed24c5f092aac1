"""Synthesizers that the system may have (Debian's flite and festival), run as programs; they join when on PATH."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf

from synatt.errors import WorkError
from synatt.quickstart.synthesizers import Speech

TIMEOUT_S = 60.0


def flite(text: str, voice: str, rng: np.random.Generator) -> Speech:
    """`text` in flite's `voice`: `kal` is a diphone voice, `awb`, `slt` and `rms` are clustergen ones."""
    stretch = float(rng.uniform(0.9, 1.1))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "said.wav"
        said = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}", "-t", text, "-o", str(out)]
        return _run(said, out)


def festival(text: str, voice: str, rng: np.random.Generator) -> Speech:
    """`text` in festival's `voice`, e.g. `cmu_us_slt_arctic_hts` (HTS: HMM parameters through MLSA)."""
    stretch = float(rng.uniform(0.9, 1.1))
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "say.txt", Path(folder) / "said.wav"
        script.write_text(text, encoding="utf-8")
        choose = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.3f}))"
        return _run(["text2wave", "-eval", choose, "-o", str(out), str(script)], out)


def _run(command: list[str], out: Path) -> Speech:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise WorkError(f"{command[0]} did not end within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0 or not out.exists():
        why = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise WorkError(f"{command[0]} failed with exit code {done.returncode}: {why[-1]}")
    wave, rate_hz = sf.read(out, dtype="float32")
    if not len(wave):
        raise WorkError(f"{command[0]} wrote an empty file; take it off PATH to render without it")
    return Speech(wave, rate_hz)
