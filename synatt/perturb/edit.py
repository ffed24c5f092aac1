"""Edits of the voice: faster or slower playback, and another pitch at the same tempo."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import Parameters, at_length, between, limit

SPEED = {"weak": (0.97, 1.03), "medium": (0.93, 1.07), "strong": (0.88, 1.12)}
SEMITONES = {"weak": (0.2, 0.6), "medium": (0.6, 1.5), "strong": (1.5, 3.0)}


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """Evenly `speed` (within 3, 7 or 12 % of 1) or `semitones`, up or down (0.2-0.6, 0.6-1.5 or 1.5-3)."""
    if rng.random() < 0.5:
        return {"speed": between(rng, SPEED[level])}
    return {"semitones": between(rng, SEMITONES[level]) * (1.0 if rng.random() < 0.5 else -1.0)}


def apply(
    wave: np.ndarray,
    rng: np.random.Generator,
    materials: Materials = NOTHING,
    *,
    speed: float | None = None,
    semitones: float | None = None,
) -> np.ndarray:
    """`wave` played `speed` times as fast, or `semitones` higher at the same tempo; cut or filled to its length."""
    import soxr

    factor = speed if speed is not None else 2 ** ((semitones or 0.0) / 12)
    played = soxr.resample(wave.astype(np.float64), RATE_HZ * factor, RATE_HZ)
    if speed is None and len(wave) > RATE_HZ // 10:
        played = _stretched(played, 1 / factor)
    return limit(at_length(played, len(wave)))


def _stretched(wave: np.ndarray, tempo: float) -> np.ndarray:
    """`wave` at `tempo` times its pace and its own pitch, by FFmpeg's `atempo` (waveform similarity overlap-add)."""
    import av
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE_HZ, format="flt", layout="mono")
    atempo = graph.add("atempo", f"{tempo:.6f}")
    sink = graph.add("abuffersink")
    source.link_to(atempo)
    atempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="flt", layout="mono")
    frame.sample_rate = RATE_HZ
    graph.push(frame)
    graph.push(None)
    out = []
    while True:
        try:
            out.append(graph.pull().to_ndarray()[0])
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(out) if out else wave
