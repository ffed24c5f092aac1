"""Mixup and cutmix: clips and labels are mixed by the same share."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt.augment.batch import augment_batch, cutmix, mixup
from synatt.recipe import Augment

SEEDS = st.integers(0, 10_000)
SIZES = st.integers(1, 9)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch(count: int, bins: int = 3, frames: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip i is filled with the number i, and its label is class i."""
    return torch.arange(count, dtype=torch.float32)[:, None, None].expand(count, bins, frames), torch.eye(count)


def shares(logmel: torch.Tensor) -> torch.Tensor:
    """`[B, C]`: the share of cells that carry the number of each class."""
    return torch.stack([(logmel == c).float().mean(dim=(1, 2)) for c in range(len(logmel))], dim=1)


@given(SEEDS, SIZES)
def test_mixup_mixes_clip_and_label_by_one_share(seed: int, count: int) -> None:
    logmel, target = mixup(*batch(count), 2.5, rng(seed))
    torch.testing.assert_close(target.sum(dim=1), torch.ones(count))
    assert (target >= -1e-6).all()
    # A mix of constant clips is the mean of their numbers, weighted as the label is.
    torch.testing.assert_close(logmel[:, 0, 0], target @ torch.arange(count, dtype=torch.float32))
    assert torch.equal(logmel, logmel[:, :1, :1].expand_as(logmel))


def test_mixup_draws_a_share_for_each_clip_from_its_beta_distribution() -> None:
    _, target = mixup(*batch(3000, 1, 1), 2.5, rng())
    own = target.diagonal().double()
    own = own[own < 1]
    assert float(own.mean()) == pytest.approx(0.5, abs=0.02)
    # Variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert float(own.var()) == pytest.approx(1 / 24, rel=0.1)
    assert len(own.unique()) > 2900


@given(SEEDS, SIZES)
def test_cutmix_mixes_labels_by_the_frames_that_were_replaced(seed: int, count: int) -> None:
    logmel, target = cutmix(*batch(count), 2.5, rng(seed))
    torch.testing.assert_close(target.sum(dim=1), torch.ones(count))
    torch.testing.assert_close(target, shares(logmel))


@given(SEEDS)
def test_cutmix_replaces_one_stretch_of_time_over_all_bins_and_the_same_in_every_clip(seed: int) -> None:
    before, target = batch(6)
    after, _ = cutmix(before, target, 2.5, rng(seed))
    cut = after != before
    assert torch.equal(cut, cut[:, :1].expand_as(cut))
    stretches = {tuple(row.nonzero()[:, 0].tolist()) for row in cut[:, 0] if row.any()}
    assert len(stretches) <= 1
    for stretch in stretches:
        assert list(stretch) == list(range(stretch[0], stretch[-1] + 1))


def test_cutmix_widths_follow_the_beta_distribution() -> None:
    widths = []
    for seed in range(300):
        _, target = cutmix(*batch(10, 1, 100), 2.5, rng(seed))
        widths.append(float(1 - target.diagonal().min()))
    assert np.mean(widths) == pytest.approx(0.5, abs=0.03)
    assert np.var(widths) == pytest.approx(1 / 24, rel=0.25)


def test_soft_labels_stay_distributions() -> None:
    target = torch.softmax(torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    for seed in range(20):
        _, mixed = augment_batch(batch(8)[0], target, Augment(mixup_p=1, cutmix_p=1), rng(seed))
        torch.testing.assert_close(mixed.sum(dim=1), torch.ones(8))
        assert (mixed > 0).all()


@pytest.mark.parametrize(("name", "p"), [("mixup_p", 0.65), ("cutmix_p", 0.5)])
def test_a_whole_batch_is_mixed_as_often_as_the_probability_says(name: str, p: float) -> None:
    settings = Augment(**{"mixup_p": 0.0, "cutmix_p": 0.0, name: p})
    given_batch = batch(8, 1, 40)
    mixed = [
        not torch.equal(augment_batch(*given_batch, settings, rng(seed))[1], given_batch[1]) for seed in range(1500)
    ]
    assert np.mean(mixed) == pytest.approx(p, abs=0.05)


def test_mixup_comes_before_cutmix() -> None:
    draw = rng(1)
    draw.random()
    first = mixup(*batch(6), 2.5, draw)
    draw.random()
    both = cutmix(*first, 2.5, draw)
    found = augment_batch(*batch(6), Augment(mixup_p=1, cutmix_p=1), rng(1))
    assert torch.equal(found[0], both[0])
    assert torch.equal(found[1], both[1])


def test_probability_zero_changes_nothing() -> None:
    logmel, target = augment_batch(*batch(6), Augment(mixup_p=0, cutmix_p=0), rng())
    assert torch.equal(logmel, batch(6)[0])
    assert torch.equal(target, batch(6)[1])


def test_the_same_seed_gives_the_same_mix() -> None:
    settings = Augment(mixup_p=1, cutmix_p=1)
    one, again, other = (augment_batch(*batch(6), settings, rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_given_batch_is_not_written_to() -> None:
    logmel, target = (t.clone() for t in batch(6))
    augment_batch(logmel, target, Augment(mixup_p=1, cutmix_p=1), rng())
    assert torch.equal(logmel, batch(6)[0])
    assert torch.equal(target, batch(6)[1])
