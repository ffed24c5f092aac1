"""Codec 2 (Rowe 2010), a low-rate harmonic sinusoidal coder at 8 kHz, through Debian's `c2enc` and `c2dec`."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit
from synatt.errors import WorkError

CODEC_HZ, DELAY = 8_000, 320
MODES = ("3200", "2400", "1300")


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`wave` coded and decoded at 3200, 2400 or 1300 bit/s; nothing is left above 4 kHz."""
    import soxr

    mode = MODES[int(rng.integers(len(MODES)))]
    narrow = soxr.resample(wave.astype(np.float64), RATE_HZ, CODEC_HZ)
    peak = max(float(np.abs(narrow).max(initial=0.0)), 1e-9)
    with tempfile.TemporaryDirectory() as folder:
        raw, bits, back = (Path(folder) / name for name in ("in.raw", "bits.c2", "out.raw"))
        np.round(narrow / peak * 20_000).astype("<i2").tofile(raw)
        for command in (["c2enc", mode, str(raw), str(bits)], ["c2dec", mode, str(bits), str(back)]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                raise WorkError(f"{command[0]} failed with exit code {done.returncode}: {done.stderr.strip()[-200:]}")
        decoded = np.fromfile(back, "<i2").astype(np.float64) / 20_000 * peak
    return fit(soxr.resample(decoded, CODEC_HZ, RATE_HZ), len(wave))
