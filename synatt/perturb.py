"""Weak and strong perturbations of a recording, as in the evaluation sets of SP Cup 2022: noise, rooms, codecs.

Every function takes and returns a float32 wave ``[S]`` at 16 kHz, keeps its length, and draws from the generator
it is given, so that a seed fixes the result. `perturb` is `choose` and `apply` in one.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from synatt.errors import UsageError
from synatt.recipe import RATE_HZ

LEVELS = ("clean", "weak", "strong")
ORDER = ("reverb", "noise", "codec")  # as a recording meets them: the room, the microphone, the line
COLOURS = ("white", "pink")
PEAK = 0.99
# At 32 kbit/s and below libsndfile's mp3 frames are too short for the tag that tells a decoder how much the
# encoder (576) and the decoder (529 samples) have put in front.
MP3_DELAY = 576 + 529


@dataclass(frozen=True)
class Ranges:
    """What `perturb` draws from, each bound included; `most` is how many kinds may meet in one clip."""

    snr_db: tuple[float, float]
    rt60_s: tuple[float, float]
    direct_db: tuple[float, float]
    codecs: tuple[tuple[str, float], ...]
    most: int


RANGES = {
    "weak": Ranges((20.0, 30.0), (0.15, 0.35), (6.0, 12.0), (("mp3", 64.0), ("opus", 32.0)), 1),
    "strong": Ranges(
        (0.0, 12.0), (0.5, 1.2), (-3.0, 3.0), (("mp3", 16.0), ("mp3", 24.0), ("opus", 8.0), ("opus", 12.0)), 2
    ),
}


@dataclass(frozen=True)
class Perturbation:
    """What is to be done to a clip; a kind that is left out has None."""

    rt60_s: float | None = None
    direct_db: float | None = None
    snr_db: float | None = None
    colour: str | None = None
    codec: str | None = None
    kbit_s: float | None = None

    @property
    def kind(self) -> str:
        """'none', or the kinds in the order in which they are applied: 'noise', 'reverb+codec', ..."""
        chosen = {"reverb": self.rt60_s, "noise": self.snr_db, "codec": self.codec}
        return "+".join(kind for kind in ORDER if chosen[kind] is not None) or "none"

    @property
    def parameters(self) -> dict[str, float | str]:
        """The settings that are in use, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def choose(level: str, rng: np.random.Generator) -> Perturbation:
    """A drawn perturbation.

    weak: one of noise at 20-30 dB SNR, a room of RT60 0.15-0.35 s, mp3 at 64 or opus at 32 kbit/s.
    strong: one or two (evenly) of noise at 0-12 dB, RT60 0.5-1.2 s, mp3 at 16 or 24 or opus at 8 or 12 kbit/s.
    clean: nothing.

    Raises:
        UsageError: no such level.
    """
    if level not in LEVELS:
        raise UsageError(f"no perturbation level {level!r}; there are {', '.join(LEVELS)}")
    if level == "clean":
        return Perturbation()
    ranges = RANGES[level]
    count = int(rng.integers(1, ranges.most + 1))
    drawn: dict[str, Any] = {}
    for kind in rng.permutation(ORDER)[:count]:
        if kind == "noise":
            drawn |= {"snr_db": float(rng.uniform(*ranges.snr_db)), "colour": str(rng.choice(COLOURS))}
        elif kind == "reverb":
            drawn |= {"rt60_s": float(rng.uniform(*ranges.rt60_s)), "direct_db": float(rng.uniform(*ranges.direct_db))}
        else:
            codec, kbit_s = ranges.codecs[int(rng.integers(len(ranges.codecs)))]
            drawn |= {"codec": codec, "kbit_s": kbit_s}
    return Perturbation(**drawn)


def apply(wave: np.ndarray, chosen: Perturbation, rng: np.random.Generator) -> np.ndarray:
    """`wave` through the room, the noise and the codec of `chosen`, in this order."""
    if chosen.rt60_s is not None:
        wave = reverberate(wave, chosen.rt60_s, chosen.direct_db or 0.0, rng)
    if chosen.snr_db is not None:
        wave = add_noise(wave, chosen.snr_db, chosen.colour or "white", rng)
    if chosen.codec is not None:
        wave = transcode(wave, chosen.codec, chosen.kbit_s or 64.0)
    return wave.astype(np.float32)


def perturb(wave: np.ndarray, level: str, rng: np.random.Generator) -> tuple[np.ndarray, str, dict[str, float | str]]:
    """`wave` at `level` of perturbation ('clean', 'weak', 'strong'), the kind, and its parameters.

    The same as `apply` of what `choose` draws from the same generator.
    """
    chosen = choose(level, rng)
    return apply(wave, chosen, rng), chosen.kind, chosen.parameters


def add_noise(wave: np.ndarray, snr_db: float, colour: str, rng: np.random.Generator) -> np.ndarray:
    """`wave` plus 'white' or 'pink' (-3 dB an octave) Gaussian noise at `snr_db` below its mean power.

    Where the peak would pass 0.99 both are scaled down together, which leaves the SNR alone.
    """
    noise = rng.standard_normal(len(wave))
    if colour == "pink":
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)), len(wave))
    elif colour != "white":
        raise UsageError(f"no noise colour {colour!r}; there are white and pink")
    signal = wave.astype(np.float64)
    power, wanted = float(np.mean(noise**2)), float(np.mean(signal**2)) * 10 ** (-snr_db / 10)
    return limit(signal + noise * np.sqrt(wanted / max(power, 1e-20)))


def room(rt60_s: float, direct_db: float, rng: np.random.Generator) -> np.ndarray:
    """float64 impulse response ``[rt60_s x 16,000]`` of a room: Polack's model, exponentially decaying noise.

    The direct sound is 1 at sample 0; the tail starts 3 ms later, falls by 60 dB in `rt60_s`, and its whole energy
    lies `direct_db` below that of the direct sound.
    """
    samples = max(2, round(rt60_s * RATE_HZ))
    time_s = np.arange(samples) / RATE_HZ
    tail = rng.standard_normal(samples) * 10 ** (-3 * time_s / rt60_s)
    tail[: min(samples - 1, round(0.003 * RATE_HZ))] = 0.0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def reverberate(wave: np.ndarray, rt60_s: float, direct_db: float, rng: np.random.Generator) -> np.ndarray:
    """`wave` in a `room`, cut to its own length and brought back to its own mean power."""
    signal, response = wave.astype(np.float64), room(rt60_s, direct_db, rng)
    size = len(signal) + len(response) - 1
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(response, size), size)[: len(signal)]
    power = float(np.mean(wet**2))
    return limit(wet * np.sqrt(float(np.mean(signal**2)) / power) if power > 0 else wet)


def encode(wave: np.ndarray, codec: str, kbit_s: float) -> bytes:
    """`wave` as an 'mp3' (constant bitrate, 16-160 kbit/s) or Ogg 'opus' (8-256 kbit/s) file.

    libsndfile takes no bitrate but a compression level in 0-1, spread evenly over 160-8 and 256-6 kbit/s. Measured
    on speech at 16 kHz: mp3 64 / 24 / 16 gives 64.4 / 24.1 / 16.1 kbit/s, opus 32 / 12 / 8 gives 32.0 / 12.9 / 8.9,
    container included; a clip of 3 s pays 0.4-2 kbit/s more for its headers.
    """
    import soundfile as sf

    file = io.BytesIO()
    if codec == "mp3":
        _within(codec, kbit_s, 16, 160)
        level = (160 - kbit_s) / 152
        sf.write(file, wave, RATE_HZ, "MPEG_LAYER_III", format="MP3", compression_level=level, bitrate_mode="CONSTANT")
    elif codec == "opus":
        _within(codec, kbit_s, 8, 256)
        sf.write(file, wave, RATE_HZ, "OPUS", format="OGG", compression_level=(256 - kbit_s) / 250)
    else:
        raise UsageError(f"no codec {codec!r}; there are mp3 and opus")
    return file.getvalue()


def transcode(wave: np.ndarray, codec: str, kbit_s: float) -> np.ndarray:
    """`wave` encoded, decoded and moved back by the codec's delay."""
    import soundfile as sf

    decoded, _ = sf.read(io.BytesIO(encode(wave, codec, kbit_s)), dtype="float64")
    if codec == "mp3" and len(decoded) > len(wave):
        decoded = decoded[MP3_DELAY:]
    out = np.zeros(len(wave))
    kept = min(len(wave), len(decoded))
    out[:kept] = decoded[:kept]
    return limit(out)


def limit(wave: np.ndarray) -> np.ndarray:
    """float32 `wave`, scaled down as a whole where its peak passes 0.99."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave * min(1.0, PEAK / peak) if peak > 0 else wave).astype(np.float32)


def _within(codec: str, kbit_s: float, low: float, high: float) -> None:
    if not low <= kbit_s <= high:
        raise UsageError(f"{codec} at {kbit_s:g} kbit/s: {low:g} to {high:g} can be had at 16 kHz")
