"""Warped frequency axes: a voice's spectrum moves as playing it faster moves it, and nothing else changes."""

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt.augment.warp import augment_warp, warp
from synatt.constants import RATE_HZ
from synatt.logmel import log_mel
from synatt.recipe import Augment, LogMel
from synatt.recipefile import load_recipe

SCALE = load_recipe("part1").logmel
SEEDS = st.integers(0, 10_000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(count: int = 6, bins: int = 128, frames: int = 40) -> torch.Tensor:
    return torch.randn(count, bins, frames, generator=torch.Generator().manual_seed(0)) * 10


def mean_spectrum(wave: np.ndarray) -> np.ndarray:
    """Mean dB of each band over the frames that are not padding."""
    found = log_mel(wave[:80_000], load_recipe("part1"))
    return found[:, :300].mean(axis=1)


@pytest.mark.parametrize("factor", [0.85, 0.92, 1.08, 1.15])
def test_speech_is_warped_as_faster_playback_moves_its_spectrum(speech_wave: np.ndarray, factor: float) -> None:
    faster = soxr.resample(speech_wave, RATE_HZ * factor, RATE_HZ)
    usual, wanted = mean_spectrum(speech_wave), mean_spectrum(faster)
    warped = warp(torch.from_numpy(usual)[None, :, None], np.array([factor]), SCALE)[0, :, 0].numpy()
    # The lowest bands hold single harmonics and the highest what resampling cut off.
    inner = slice(20, 105)
    error, before = (np.abs((x - wanted)[inner] - np.mean((x - wanted)[inner])).mean() for x in (warped, usual))
    assert error < 0.5 * before


def test_a_tone_moves_to_its_frequency_times_the_factor() -> None:
    time = np.arange(96_000) / RATE_HZ
    recipe = load_recipe("part1")
    tone, higher = (
        log_mel(np.sin(2 * np.pi * hz * time).astype(np.float32), recipe)[:, :300].mean(axis=1) for hz in (1000, 1200)
    )
    warped = warp(torch.from_numpy(tone)[None, :, None], np.array([1.2]), SCALE)[0, :, 0]
    assert abs(int(warped.argmax()) - int(higher.argmax())) <= 1


@given(SEEDS, st.integers(1, 5))
def test_factor_one_changes_nothing(seed: int, bins: int) -> None:
    before = noise(3, bins)
    scale = LogMel(mel_bins=bins, frames=40)
    torch.testing.assert_close(warp(before, np.ones(3), scale), before)


@given(SEEDS)
def test_values_stay_within_the_clips_own(seed: int) -> None:
    before = noise()
    after = augment_warp(before, Augment(warp_p=1, warp_most=0.4), SCALE, rng(seed))
    assert (after.amax(dim=1) <= before.amax(dim=1) + 1e-4).all()
    assert (after.amin(dim=1) >= before.amin(dim=1) - 1e-4).all()


def test_as_many_clips_are_warped_as_the_probability_says_by_factors_that_fill_the_range() -> None:
    ramp = torch.arange(128.0)[None, :, None].expand(3000, 128, 1)
    after = augment_warp(ramp, Augment(warp_p=0.3, warp_most=0.1), SCALE, rng())
    moved = (after != ramp).any(dim=1)[:, 0]
    assert float(moved.float().mean()) == pytest.approx(0.3, abs=0.03)
    shift = (ramp - after)[moved, 60, 0]
    assert shift.min() < 0 < shift.max()
    assert abs(float((shift > 0).float().mean()) - 0.5) < 0.06


def test_probability_zero_changes_nothing_and_draws_nothing() -> None:
    draw, before = rng(), noise()
    assert augment_warp(before, Augment(), SCALE, draw) is before
    assert draw.random() == rng().random()


def test_the_same_seed_warps_alike() -> None:
    settings = Augment(warp_p=1)
    one, again, other = (augment_warp(noise(), settings, SCALE, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
