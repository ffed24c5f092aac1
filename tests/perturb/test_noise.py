"""Noise lies at the ratio asked for, has the colour asked for, and is made of what was given."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt.errors import UsageError
from synatt.perturb import Materials, noise, read_materials
from synatt.perturb.materials import short
from synatt.perturb.signal import PEAK
from tests.perturb.hearing import ratio_db


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), snr_db=st.floats(-5, 40), colour=st.sampled_from(noise.COLOURS))
def test_noise_lies_at_the_ratio_asked_for(speech: np.ndarray, seed: int, snr_db: float, colour: str) -> None:
    quiet = speech * np.float32(0.02)  # the limiter has nothing to do
    added = noise.apply(quiet, np.random.default_rng(seed), snr_db=snr_db, noise=colour) - quiet
    assert abs(ratio_db(quiet, added) - snr_db) < 0.2


@pytest.mark.parametrize(("level", "low", "high"), [("weak", 20, 30), ("medium", 12, 20), ("strong", 0, 12)])
def test_draws_stay_within_the_stated_range(level: str, low: float, high: float) -> None:
    drawn = [noise.draw(level, np.random.default_rng(seed)) for seed in range(200)]
    assert all(low <= d["snr_db"] <= high for d in drawn) and {d["noise"] for d in drawn} == {"white", "pink"}


def test_the_limiter_keeps_the_ratio(speech: np.ndarray) -> None:
    loud, quiet = (
        noise.apply(speech * np.float32(gain), np.random.default_rng(5), snr_db=3.0, noise="white")
        for gain in (30.0, 0.03)
    )
    assert np.isclose(np.abs(loud).max(), PEAK) and np.allclose(loud / PEAK, quiet / np.abs(quiet).max(), atol=1e-5)


def test_pink_noise_falls_by_three_db_an_octave() -> None:
    power = np.abs(np.fft.rfft(noise.make("pink", 2**16, np.random.default_rng(1)))) ** 2
    octaves_db = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(8, 15)]
    assert np.allclose(np.diff(octaves_db), -3.01, atol=0.8)


def test_babble_is_the_sum_of_other_speech(clip_paths: list[str], speech: np.ndarray) -> None:
    materials = read_materials(speech=clip_paths)
    drawn = {noise.draw("strong", np.random.default_rng(seed), materials)["noise"] for seed in range(60)}
    assert drawn == {"white", "pink", "babble"}
    babble = noise.make("babble", 16_000, np.random.default_rng(0), materials)
    frames = np.abs(np.fft.rfft(babble.reshape(-1, 400) * np.hanning(400), axis=1)) ** 2
    assert frames[:, 3:50].sum() > 10 * frames[:, 100:].sum(), "speech has its energy below 2 kHz"
    heard = []
    own = Materials(speech=("a", "b"), hear=lambda name: heard.append(name) or speech)
    noise.make("babble", 8_000, np.random.default_rng(0), own)
    assert 3 <= len(heard) <= 8 and set(heard) <= {"a", "b"}
    with pytest.raises(UsageError, match="babble needs other speech"):
        noise.make("babble", 8_000, np.random.default_rng(0))


def test_a_folder_of_noise_is_used_by_name(tmp_path: Path, speech: np.ndarray) -> None:
    hum = np.sin(2 * np.pi * 1_000 * np.arange(8_000) / 16_000)
    sf.write(tmp_path / "hum.wav", 0.1 * hum, 16_000)
    (tmp_path / "notes.txt").write_text("not audio")
    materials = read_materials(noises=[str(tmp_path)])
    (path,) = materials.noises
    drawn = [noise.draw("weak", np.random.default_rng(seed), materials) for seed in range(40)]
    assert {d["noise"] for d in drawn} == {"white", "pink", short(path)}
    added = noise.apply(speech, np.random.default_rng(0), materials, snr_db=10.0, noise=short(path)) - speech
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    near = np.abs(np.fft.rfftfreq(len(added), 1 / 16_000) - 1_000) < 20
    assert spectrum[near].sum() > 0.95 * spectrum.sum()
    with pytest.raises(UsageError, match="no recording"):
        noise.apply(speech, np.random.default_rng(0), Materials(), snr_db=10.0, noise=short(path))


@pytest.mark.parametrize("name", ["brown", ""])
def test_a_noise_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="there are white, pink"):
        noise.make(name, 100, np.random.default_rng(0))


def test_places_without_audio_are_named(tmp_path: Path, speech: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no audio file at .*nowhere"):
        read_materials(noises=[str(tmp_path / "nowhere")])
    (tmp_path / "bad.wav").write_bytes(b"not audio at all")
    broken = read_materials(noises=[str(tmp_path / "bad.wav")])
    with pytest.raises(UsageError, match=r"bad\.wav cannot be used to perturb with"):
        noise.apply(speech, np.random.default_rng(0), broken, snr_db=10.0, noise=short(broken.noises[0]))
