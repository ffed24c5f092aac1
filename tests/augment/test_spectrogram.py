"""Spectrogram augmentation: masks and a real JPEG codec."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from synatt.augment.spectrogram import augment_spectrogram, jpeg, mask
from synatt.logmel import log_mel
from synatt.recipe import Augment
from synatt.recipefile import load_recipe

SEEDS = st.integers(0, 10_000)
ALL = torch.ones(6, dtype=torch.bool)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(count: int = 6, bins: int = 24, frames: int = 40) -> torch.Tensor:
    return torch.randn(count, bins, frames, generator=torch.Generator().manual_seed(0)) * 10


@pytest.fixture(scope="module")
def speech_logmels(golden: dict[str, np.ndarray]) -> torch.Tensor:
    """float32 `[6, 128, 384]`: real speech, six recordings."""
    long = golden["pcm16_8s"].astype(np.float32) / 32768
    recipe = load_recipe("part1")
    return torch.from_numpy(np.stack([log_mel(long[i * 4_000 :], recipe) for i in range(6)]))


def runs(hidden: np.ndarray) -> int:
    """How many runs of true there are."""
    return int((np.diff(np.concatenate([[0], hidden.astype(int)])) == 1).sum())


@given(SEEDS, st.integers(0, 10), st.integers(0, 20))
def test_a_mask_is_one_band_of_bins_and_one_of_frames_at_the_clips_minimum(seed: int, bins: int, frames: int) -> None:
    before = noise()
    after = mask(before, ALL, bins, frames, rng(seed))
    floor = before.amin(dim=(1, 2), keepdim=True)
    for row in range(6):
        hidden = (after[row] == floor[row]).numpy()
        # The cell that is the minimum itself looks hidden wherever it stands.
        hidden.flat[before[row].argmin()] = False
        rows, columns = hidden.mean(axis=1) > 0.9, hidden.mean(axis=0) > 0.9
        assert rows.sum() <= bins
        assert columns.sum() <= frames
        assert runs(rows) <= 1
        assert runs(columns) <= 1
        shown = ~(rows[:, None] | columns[None])
        assert np.array_equal(after[row].numpy()[shown], before[row].numpy()[shown])
        assert np.array_equal(hidden | ~shown, ~shown)


def test_widths_are_uniform_from_nothing_to_the_maximum() -> None:
    before = noise(3000, 12, 4)
    after = mask(before, torch.ones(3000, dtype=torch.bool), 5, 0, rng())
    floor = before.amin(dim=(1, 2), keepdim=True)
    widths = (after == floor).all(dim=2).sum(dim=1)
    counts = torch.bincount(widths, minlength=6)
    assert len(counts) == 6
    assert counts.min() > 400


def test_a_mask_wider_than_the_picture_hides_at_most_all_of_it() -> None:
    after = mask(noise(), ALL, 1000, 1000, rng())
    assert after.shape == noise().shape


@given(SEEDS)
def test_masks_leave_the_other_clips_as_they_are(seed: int) -> None:
    before = noise()
    after = mask(before, torch.arange(6) % 2 == 0, 8, 16, rng(seed))
    assert torch.equal(after[1::2], before[1::2])


def test_jpeg_is_lossy_but_close_on_speech(speech_logmels: torch.Tensor) -> None:
    after = jpeg(speech_logmels, ALL, (85, 95), rng())
    error = (after - speech_logmels).abs()
    span = speech_logmels.amax() - speech_logmels.amin()
    # More than the rounding to 8 bits, and still the same picture.
    assert (error.amax(dim=(1, 2)) > span / 255).all()
    assert float(error.mean()) < 0.02 * span


def test_a_lower_jpeg_quality_loses_more(speech_logmels: torch.Tensor) -> None:
    losses = [
        float((jpeg(speech_logmels, ALL, (q, q), rng()) - speech_logmels).square().mean()) for q in (95, 85, 50, 10)
    ]
    assert losses == sorted(losses)
    assert losses[-1] > 3 * losses[0]


def test_jpeg_goes_through_a_real_codec_with_the_drawn_quality(
    speech_logmels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bytes, int]] = []
    real = torchvision.io.encode_jpeg

    def watched(image: torch.Tensor, quality: int) -> torch.Tensor:
        packed = real(image, quality)
        seen.append((bytes(packed[:3].tolist()), quality))
        return packed

    monkeypatch.setattr(torchvision.io, "encode_jpeg", watched)
    for seed in range(10):
        jpeg(speech_logmels, ALL, (85, 95), rng(seed))
    assert {magic for magic, _ in seen} == {b"\xff\xd8\xff"}
    assert {quality for _, quality in seen} == set(range(85, 96))


def test_jpeg_touches_only_the_chosen_clips(speech_logmels: torch.Tensor) -> None:
    chosen = torch.tensor([True, False, False, True, False, False])
    after = jpeg(speech_logmels, chosen, (85, 95), rng())
    assert torch.equal(after[~chosen], speech_logmels[~chosen])
    assert (after[chosen] != speech_logmels[chosen]).flatten(1).any(dim=1).all()
    assert torch.equal(jpeg(speech_logmels, ~ALL, (85, 95), rng()), speech_logmels)


def test_jpeg_keeps_a_clip_in_its_own_range(speech_logmels: torch.Tensor) -> None:
    after = jpeg(speech_logmels * torch.arange(1, 7)[:, None, None], ALL, (85, 95), rng())
    before = speech_logmels * torch.arange(1, 7)[:, None, None]
    assert (after.amax(dim=(1, 2)) <= before.amax(dim=(1, 2)) + 1e-3).all()
    assert (after.amin(dim=(1, 2)) >= before.amin(dim=(1, 2)) - 1e-3).all()


def test_jpeg_of_a_constant_picture_is_finite() -> None:
    assert torch.isfinite(jpeg(torch.full((6, 16, 16), -80.0), ALL, (85, 95), rng())).all()


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        (Augment(group_p=1, mask_p=0.75, jpeg_p=0, freq_mask_bins=0, time_mask_frames=3), 0.75 * 3 / 4),
        (Augment(group_p=0.8, mask_p=0.75, jpeg_p=0, freq_mask_bins=0, time_mask_frames=3), 0.8 * 0.75 * 3 / 4),
        (Augment(group_p=1, mask_p=0, jpeg_p=0.5), 0.5),
        (Augment(group_p=0.8, mask_p=0, jpeg_p=0.5), 0.4),
    ],
)
def test_each_is_applied_as_often_as_its_probability_says(settings: Augment, share: float) -> None:
    before = noise(3000, 16, 16)
    after = augment_spectrogram(before, settings, rng())
    # A mask as wide as 0 of 0..3 frames changes nothing.
    assert float((before != after).flatten(1).any(dim=1).float().mean()) == pytest.approx(share, abs=0.036)


def test_masks_come_before_jpeg() -> None:
    before = noise()
    settings = Augment(group_p=1, mask_p=1, jpeg_p=1, freq_mask_bins=8, time_mask_frames=16)
    after = augment_spectrogram(before, settings, rng(4))
    masks_only = augment_spectrogram(before, settings.model_copy(update={"jpeg_p": 0.0}), rng(4))
    hidden = masks_only == before.amin(dim=(1, 2), keepdim=True)
    assert hidden.float().mean() > 0.1
    # JPEG rings at the edges of a mask; had it come first, hidden cells would all be at the minimum.
    assert (after[hidden] != masks_only[hidden]).any()
    assert float((after - masks_only).abs().mean()) < 2.0


def test_a_group_that_is_never_drawn_changes_nothing() -> None:
    before = noise()
    assert torch.equal(augment_spectrogram(before, Augment(group_p=0, mask_p=1, jpeg_p=1), rng()), before)


def test_the_same_seed_gives_the_same_clips() -> None:
    one, again, other = (augment_spectrogram(noise(), Augment(), rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_given_clips_are_not_written_to() -> None:
    before = noise()
    kept = before.clone()
    augment_spectrogram(before, Augment(group_p=1, mask_p=1, jpeg_p=1), rng())
    assert torch.equal(before, kept)
