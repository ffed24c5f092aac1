"""RawBoost on real speech: each noise does what the paper says, within its ranges."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import irfft, rfft

from synatt.augment import rawboost
from synatt.augment.rawboost import HIT, HIT_GAIN, augment_rawboost, convolutive, impulsive, notches, stationary
from synatt.constants import RATE_HZ
from synatt.recipe import Augment

SEEDS = st.integers(0, 10_000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def wave(golden: dict[str, np.ndarray]) -> np.ndarray:
    """float32 `[48000]`: standardised speech."""
    found = golden["pcm16_6s"][:48_000].astype(np.float32)
    return ((found - found.mean()) / found.std()).astype(np.float32)


@given(SEEDS)
def test_a_filter_lets_all_through_but_its_notches(seed: int) -> None:
    gain = np.abs(rfft(notches(rng(seed)), 4096))
    assert gain.max() == pytest.approx(1, abs=1e-4)
    assert np.isfinite(gain).all()


def test_most_filters_silence_something() -> None:
    lowest = [np.abs(rfft(notches(rng(seed)), 4096)).min() for seed in range(50)]
    assert np.median(lowest) < 0.05


def test_powers_bring_harmonics_that_were_not_there() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 500 * time).astype(np.float32)
    for seed in range(5):
        found = np.abs(rfft(convolutive(tone, rng(seed))))
        before = np.abs(rfft(tone))
        # One second: bin k is k Hz. The second and third harmonic.
        assert before[[1000, 1500]].max() < 1
        assert found[[1000, 1500]].max() > 50


def test_speech_keeps_its_level_and_is_still_the_same_speech(wave: np.ndarray) -> None:
    for seed in range(5):
        made = convolutive(wave, rng(seed))
        assert made.dtype == np.float32 and made.shape == wave.shape
        assert float(made.mean()) == pytest.approx(0, abs=1e-3)
        assert float(made.std()) == pytest.approx(float(wave.std()), rel=1e-3)
        envelope, before = (np.abs(x).reshape(-1, 800).mean(axis=1) for x in (made, wave))
        assert np.corrcoef(envelope, before)[0, 1] > 0.7


def test_impulses_hit_at_most_a_tenth_of_the_samples_by_at_most_twice_themselves(wave: np.ndarray) -> None:
    shares = []
    for seed in range(20):
        made = impulsive(wave, rng(seed))
        # What was not hit was only brought back to the old mean and level; of small samples the mean is a large part.
        loud = np.abs(wave) > 0.5
        moved = made[loud] / wave[loud]
        moved = np.abs(moved / np.median(moved) - 1)
        shares.append((moved > 0.05).mean())
        assert moved.max() < HIT_GAIN + 0.1
    assert max(shares) <= HIT + 0.01 and np.ptp(shares) > 0.03


def test_stationary_noise_has_a_level_within_the_range(wave: np.ndarray) -> None:
    found = []
    for seed in range(30):
        noise = stationary(wave, rng(seed)) - wave
        found.append(10 * np.log10(np.square(wave).mean() / np.square(noise).mean()))
    assert min(found) > 9.9 and max(found) < 40.1 and np.ptp(found) > 20


def test_as_many_clips_as_the_probability_says_and_the_others_stay(wave: np.ndarray) -> None:
    clips = torch.from_numpy(np.stack([wave[:4000]] * 400))
    before = clips.clone()
    after = augment_rawboost(clips, Augment(rawboost_p=0.25), rng())
    changed = (after != before).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.07)
    assert torch.equal(clips, before)
    assert torch.isfinite(after).all()


def test_the_same_seed_gives_the_same_noise_and_probability_zero_draws_nothing(wave: np.ndarray) -> None:
    clips = torch.from_numpy(wave[None, :8000])
    one, again, other = (augment_rawboost(clips, Augment(rawboost_p=1), rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    draw = rng()
    assert augment_rawboost(clips, Augment(), draw) is clips
    assert draw.random() == rng().random()


@pytest.mark.parametrize("samples", [1, 50, 700])
def test_silence_and_very_short_clips_stay_finite(samples: int) -> None:
    for value in (0.0, 1.0):
        made = augment_rawboost(torch.full((2, samples), value), Augment(rawboost_p=1), rng())
        assert made.shape == (2, samples) and torch.isfinite(made).all()


@given(SEEDS)
def test_filters_of_different_lengths_do_not_shift_the_signal(seed: int) -> None:
    taps = notches(rng(seed))
    click = np.zeros(4096, np.float32)
    click[2000] = 1
    made = irfft(rawboost._response(taps, 8192) * rfft(click, 8192), 8192)[:4096]
    # Linear phase: the answer is even about the click.
    np.testing.assert_allclose(made[2000:2400], made[2000:1600:-1], atol=1e-5)
