"""Noise at a signal-to-noise ratio: white, pink, babble, recordings of any noise."""

import numpy as np

from synatt.errors import UsageError
from synatt.perturb.materials import NOTHING, Materials, pick, recording, short, stretch
from synatt.perturb.signal import Parameters, at_power, between, limit, power

SNR_DB = {"weak": (20.0, 30.0), "medium": (12.0, 20.0), "strong": (0.0, 12.0)}
COLOURS = ("white", "pink")
VOICES = (3, 8)


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """`snr_db` uniform in the level's range (weak 20-30, medium 12-20, strong 0-12), and a `noise`.

    `noise` is white or pink, 'babble' where there is other speech, or the name of a recorded noise, evenly by sort.
    """
    sorts = [*COLOURS] + ["babble"] * bool(materials.speech) + ["recorded"] * bool(materials.noises)
    noise = sorts[int(rng.integers(len(sorts)))]
    if noise == "recorded":
        noise = short(materials.noises[int(rng.integers(len(materials.noises)))])
    return {"snr_db": between(rng, SNR_DB[level]), "noise": noise}


def apply(
    wave: np.ndarray, rng: np.random.Generator, materials: Materials = NOTHING, *, snr_db: float, noise: str
) -> np.ndarray:
    """`wave` plus noise whose mean power lies `snr_db` below its own.

    Where the peak would pass 0.99 both are scaled down together, which leaves the ratio alone.

    Raises:
        UsageError: there is no such noise.
    """
    wanted = power(wave) * 10 ** (-snr_db / 10)
    return limit(wave + at_power(make(noise, len(wave), rng, materials), wanted))


def make(noise: str, samples: int, rng: np.random.Generator, materials: Materials = NOTHING) -> np.ndarray:
    """float64 ``[samples]`` of noise, at any level: 'white', 'pink' (-3 dB an octave), 'babble', or a recorded one."""
    if noise == "white":
        return rng.standard_normal(samples)
    if noise == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)), samples)
    if noise == "babble":
        if not materials.speech:
            raise UsageError("babble needs other speech")
        count = int(rng.integers(VOICES[0], VOICES[1] + 1))
        chosen = [materials.speech[i] for i in rng.integers(len(materials.speech), size=count)]
        return _babble(chosen, samples, rng, materials)
    if "#" in noise:
        return stretch(recording(pick(materials.noises, noise)), samples, rng)
    raise UsageError(f"no noise {noise!r}; there are white, pink, babble and recorded ones")


def _babble(chosen: list[str], samples: int, rng: np.random.Generator, materials: Materials) -> np.ndarray:
    voices = []
    for one in chosen:
        try:
            voices.append(materials.hear(one) if materials.hear else recording(one))
        except UsageError:
            # Babble is made of whatever there is, often of the very inputs, and some of them may be broken.
            continue
    if not voices:
        raise UsageError(f"none of {len(chosen)} recordings drawn for babble can be read, {chosen[0]} among them")
    return np.sum([at_power(stretch(voice, samples, rng), 1.0) for voice in voices], axis=0)
