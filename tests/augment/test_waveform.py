"""Waveform augmentation: noise, rotation, reversal, each on the clips that were drawn for it and on no other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt.augment.waveform import add_noise, augment_waveform, reverse, shift
from synatt.recipe import Augment

SEEDS = st.integers(0, 10_000)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clips(count: int, samples: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(seed))


def every_other(count: int) -> torch.Tensor:
    return torch.arange(count) % 2 == 0


def changed(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return (before != after).flatten(1).any(dim=1)


@given(SEEDS)
def test_the_energy_of_the_noise_is_in_the_range_asked_for(seed: int) -> None:
    wave = clips(8, 16_000)
    noise = add_noise(wave, torch.ones(8, dtype=torch.bool), (0.0025, 0.025), rng(seed)) - wave
    std = noise.std(dim=1)
    # 16,000 samples estimate a deviation to within 3 %.
    assert (std > 0.0025 * 0.97).all()
    assert (std < 0.025 * 1.03).all()
    assert (noise.mean(dim=1).abs() < 0.001).all()


def test_the_noise_level_is_drawn_uniformly_for_each_clip() -> None:
    wave = torch.zeros(2000, 500)
    std = add_noise(wave, torch.ones(2000, dtype=torch.bool), (0.01, 0.03), rng()).std(dim=1)
    assert float(std.mean()) == pytest.approx(0.02, rel=0.03)
    assert float(std.std()) == pytest.approx(0.02 / 12**0.5, rel=0.08)


def test_noise_is_white() -> None:
    noise = add_noise(torch.zeros(64, 4096), torch.ones(64, dtype=torch.bool), (0.02, 0.02), rng())
    power = torch.fft.rfft(noise).abs().square().mean(dim=0)[1:-1].reshape(-1, 89).mean(dim=1)
    assert float(power.max() / power.min()) < 1.3


@given(SEEDS)
def test_noise_leaves_the_other_clips_as_they_are(seed: int) -> None:
    wave = clips(6)
    after = add_noise(wave, every_other(6), (0.01, 0.02), rng(seed))
    assert torch.equal(after[1::2], wave[1::2])
    assert changed(wave, after).tolist() == every_other(6).tolist()


@given(SEEDS, st.integers(2, 50))
def test_a_shift_is_a_rotation(seed: int, samples: int) -> None:
    wave = torch.arange(samples, dtype=torch.float32).repeat(5, 1)
    after = shift(wave, torch.ones(5, dtype=torch.bool), rng(seed))
    for row in after:
        assert torch.equal(row, wave[0].roll(int(row.argmin())))


@given(SEEDS)
def test_a_shift_leaves_the_other_clips_as_they_are(seed: int) -> None:
    wave = clips(6)
    after = shift(wave, every_other(6), rng(seed))
    assert torch.equal(after[1::2], wave[1::2])
    assert torch.equal(after.sort(dim=1).values, wave.sort(dim=1).values)


def test_a_shift_is_uniform_over_the_clip() -> None:
    wave = torch.arange(4, dtype=torch.float32).repeat(4000, 1)
    counts = torch.bincount(shift(wave, torch.ones(4000, dtype=torch.bool), rng()).argmin(dim=1), minlength=4)
    assert counts.min() > 900


def test_reversal_twice_is_the_clip_again_and_touches_only_the_chosen() -> None:
    wave = clips(6)
    once = reverse(wave, every_other(6))
    assert torch.equal(once[0], wave[0].flip(0))
    assert torch.equal(once[1::2], wave[1::2])
    assert torch.equal(reverse(once, every_other(6)), wave)


ONLY = {
    "noise_p": {"noise_p": 0.3, "shift_p": 0.0, "reverse_p": 0.0},
    "shift_p": {"noise_p": 0.0, "shift_p": 0.3, "reverse_p": 0.0},
    "reverse_p": {"noise_p": 0.0, "shift_p": 0.0, "reverse_p": 0.3},
}


@pytest.mark.parametrize("name", ONLY)
@pytest.mark.parametrize("group_p", [1.0, 0.8])
def test_each_is_applied_as_often_as_its_probability_says(name: str, group_p: float) -> None:
    wave = clips(4000, 32)
    after = augment_waveform(wave, Augment(group_p=group_p, **ONLY[name]), rng(3))
    # Four standard deviations of a binomial share.
    assert float(changed(wave, after).float().mean()) == pytest.approx(0.3 * group_p, abs=0.03)


def test_all_share_the_draw_of_the_group() -> None:
    wave = clips(4000, 32)
    after = augment_waveform(wave, Augment(group_p=0.5, noise_p=1, shift_p=1, reverse_p=1), rng())
    assert float(changed(wave, after).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_a_group_that_is_never_drawn_changes_nothing() -> None:
    wave = clips(50)
    after = augment_waveform(wave, Augment(group_p=0, noise_p=1, shift_p=1, reverse_p=1), rng())
    assert torch.equal(after, wave)


def test_the_same_seed_gives_the_same_clips() -> None:
    settings = Augment(shift_p=0.5, reverse_p=0.5)
    one, again, other = (augment_waveform(clips(20), settings, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_given_clips_are_not_written_to() -> None:
    wave = clips(20)
    kept = wave.clone()
    augment_waveform(wave, Augment(group_p=1, noise_p=1, shift_p=1, reverse_p=1), rng())
    assert torch.equal(wave, kept)
