"""Perturbations: what was asked for is what is heard, the seed fixes it, and the length stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt.errors import UsageError
from synatt.perturb import (
    ORDER,
    PEAK,
    RANGES,
    add_noise,
    choose,
    encode,
    limit,
    perturb,
    reverberate,
    room,
    transcode,
)
from synatt.quickstart.finish import to_16k
from synatt.quickstart.synthesizers import espeak
from synatt.recipe import RATE_HZ

seeds = st.integers(0, 2**32 - 1)
levels = st.sampled_from(["weak", "strong"])


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    said = espeak.speak("The tired farmer read the morning paper near the lake.", "en-us+m1", np.random.default_rng(3))
    return to_16k(said) * np.float32(0.3)


def cut(speech: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    start = int(rng.integers(0, len(speech) // 2))
    return speech[start : start + int(rng.integers(3_000, len(speech) // 2))]


def lag(before: np.ndarray, after: np.ndarray) -> int:
    """Samples by which `after` comes later, by cross-correlation."""
    size = 2 * len(before)
    cross = np.fft.irfft(np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size)), size)
    at = int(np.argmax(cross))
    return at if at < len(before) else at - size


@settings(max_examples=40, deadline=None)
@given(seed=seeds, level=levels)
def test_a_perturbed_wave_is_finite_limited_and_as_long_as_before(speech: np.ndarray, seed: int, level: str) -> None:
    wave = cut(speech, seed)
    out, kind, parameters = perturb(wave, level, np.random.default_rng(seed))
    assert out.dtype == np.float32 and out.shape == wave.shape
    assert np.isfinite(out).all() and np.abs(out).max() <= PEAK + 1e-6
    assert not np.array_equal(out, wave)
    assert parameters and 1 <= len(kind.split("+")) <= RANGES[level].most


@settings(max_examples=15, deadline=None)
@given(seed=seeds, level=levels)
def test_one_seed_gives_one_result(speech: np.ndarray, seed: int, level: str) -> None:
    first, again = (perturb(speech, level, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first[0], again[0]) and first[1:] == again[1:]


@given(seed=seeds, level=levels)
def test_draws_stay_within_the_stated_ranges(seed: int, level: str) -> None:
    chosen, ranges = choose(level, np.random.default_rng(seed)), RANGES[level]
    kinds = chosen.kind.split("+")
    assert kinds == [kind for kind in ORDER if kind in kinds]
    if "noise" in kinds:
        assert ranges.snr_db[0] <= (chosen.snr_db or 0) <= ranges.snr_db[1]
    if "reverb" in kinds:
        assert ranges.rt60_s[0] <= (chosen.rt60_s or 0) <= ranges.rt60_s[1]
    if "codec" in kinds:
        assert (chosen.codec, chosen.kbit_s) in ranges.codecs


def test_every_kind_is_drawn_and_only_strong_ones_meet() -> None:
    rng = np.random.default_rng(0)
    weak, strong = ({choose(level, rng).kind for _ in range(300)} for level in ("weak", "strong"))
    assert weak == set(ORDER)
    assert strong == set(ORDER) | {"reverb+noise", "reverb+codec", "noise+codec"}


def test_clean_changes_nothing(speech: np.ndarray) -> None:
    out, kind, parameters = perturb(speech, "clean", np.random.default_rng(0))
    assert np.array_equal(out, speech) and kind == "none" and parameters == {}


def test_an_unknown_level_is_named(speech: np.ndarray) -> None:
    with pytest.raises(UsageError, match="'medium'.*clean, weak, strong"):
        perturb(speech, "medium", np.random.default_rng(0))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, snr_db=st.floats(-5, 40), colour=st.sampled_from(["white", "pink"]))
def test_noise_lies_at_the_snr_asked_for(speech: np.ndarray, seed: int, snr_db: float, colour: str) -> None:
    quiet = cut(speech, seed) * np.float32(0.02)  # the limiter has nothing to do
    noise = add_noise(quiet, snr_db, colour, np.random.default_rng(seed)).astype(np.float64) - quiet
    assert abs(10 * np.log10(np.mean(quiet.astype(np.float64) ** 2) / np.mean(noise**2)) - snr_db) < 0.5


def test_the_limiter_keeps_the_snr(speech: np.ndarray) -> None:
    loud, quiet = (
        add_noise(speech * np.float32(gain), 3.0, "white", np.random.default_rng(5)) for gain in (30.0, 0.03)
    )
    assert np.isclose(np.abs(loud).max(), PEAK) and np.allclose(loud / PEAK, quiet / np.abs(quiet).max(), atol=1e-5)


def test_pink_noise_falls_by_three_db_an_octave() -> None:
    carrier = np.full(2**16, 0.01, np.float32)
    pink = add_noise(carrier, 0.0, "pink", np.random.default_rng(1)) - carrier
    power = np.abs(np.fft.rfft(pink)) ** 2
    octaves_db = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(8, 15)]
    assert np.allclose(np.diff(octaves_db), -3.01, atol=0.8)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, rt60_s=st.floats(0.15, 1.2), direct_db=st.floats(-3, 12))
def test_a_room_decays_in_its_rt60(seed: int, rt60_s: float, direct_db: float) -> None:
    response = room(rt60_s, direct_db, np.random.default_rng(seed))
    tail = response.copy()
    tail[0] = 0.0
    assert abs(10 * np.log10(response[0] ** 2 / np.sum(tail**2)) - direct_db) < 0.01
    left_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))  # Schroeder 1965
    line = np.flatnonzero((left_db < -5) & (left_db > -25))
    slope = np.polyfit(line / RATE_HZ, left_db[line], 1)[0]
    assert abs(-60 / slope - rt60_s) < 0.2 * rt60_s


def test_a_room_keeps_the_power_and_the_place_of_speech(speech: np.ndarray) -> None:
    wet = reverberate(speech, 0.8, 0.0, np.random.default_rng(0))
    assert np.isclose(np.mean(wet**2), np.mean(speech**2), rtol=1e-3)
    assert lag(speech, wet) == 0


@pytest.mark.parametrize(
    ("codec", "kbit_s"), [("mp3", 64), ("mp3", 24), ("mp3", 16), ("opus", 32), ("opus", 12), ("opus", 8)]
)
def test_codecs_hold_their_bitrate_and_their_time(speech: np.ndarray, codec: str, kbit_s: float) -> None:
    long = np.tile(speech, 8)
    measured = len(encode(long, codec, kbit_s)) * 8 / (len(long) / RATE_HZ) / 1000
    assert abs(measured - kbit_s) < max(1.5, 0.05 * kbit_s)
    assert abs(lag(speech, transcode(speech, codec, kbit_s))) <= 1


def test_a_lower_bitrate_is_further_from_the_original(speech: np.ndarray) -> None:
    def error(codec: str, kbit_s: float) -> float:
        return float(np.mean((transcode(speech, codec, kbit_s) - speech) ** 2))

    assert error("mp3", 16) > error("mp3", 24) > error("mp3", 64)
    assert error("opus", 8) > error("opus", 12) > error("opus", 32)


@pytest.mark.parametrize(("codec", "kbit_s"), [("mp3", 5.0), ("opus", 500.0), ("speex", 8.0)])
def test_what_a_codec_cannot_do_is_refused(speech: np.ndarray, codec: str, kbit_s: float) -> None:
    with pytest.raises(UsageError, match=codec):
        encode(speech, codec, kbit_s)


def test_silence_and_one_sample_pass() -> None:
    for wave in (np.zeros(4_000, np.float32), np.full(1, 0.1, np.float32)):
        for seed in range(12):
            out, _, _ = perturb(wave, "strong", np.random.default_rng(seed))
            assert out.shape == wave.shape and np.isfinite(out).all()


def test_the_limiter_scales_only_what_is_too_loud() -> None:
    loud, quiet = np.array([0.5, -2.0, 1.0]), np.array([0.5, -0.2])
    assert np.allclose(limit(loud), loud * PEAK / 2)
    assert np.array_equal(limit(quiet), quiet.astype(np.float32))
