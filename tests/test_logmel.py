"""The log-mel: equal to what the method's own code gave, for any input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import synatt
from synatt import ensemble, logmel, step
from synatt.audio import AudioError
from synatt.clip import standardise
from synatt.logmel import log_mel, logmel_batch, mel_matrix
from synatt.recipe import LogMel
from synatt.recipefile import load_recipe

GOLDEN = {"part1": ("pcm16_6s", "logmel_128x384"), "part2": ("pcm16_8s", "logmel_256x512")}
PARTS = ["part1", "part2"]


def standardised(golden: dict[str, np.ndarray], part: str) -> torch.Tensor:
    return torch.from_numpy(standardise(golden[GOLDEN[part][0]] / np.float32(32768)))


@pytest.mark.parametrize("part", PARTS)
def test_every_cell_is_within_a_tenth_of_a_db_of_the_methods(golden: dict[str, np.ndarray], part: str) -> None:
    pcm, truth = (golden[name] for name in GOLDEN[part])
    found = log_mel(pcm.astype(np.float32) / 32768, load_recipe(part))
    assert found.dtype == np.float32
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() < 0.1


@pytest.mark.parametrize("part", PARTS)
def test_a_clip_gets_the_same_log_mel_alone_and_in_a_batch(golden: dict[str, np.ndarray], part: str) -> None:
    settings = load_recipe(part).logmel
    wave = standardised(golden, part)
    batch = torch.stack([wave, wave.flip(0), wave * 0.5])
    together = logmel_batch(batch, settings)
    assert together.dtype == torch.float32
    assert together.shape == (3, settings.mel_bins, settings.frames)
    for row in range(3):
        torch.testing.assert_close(together[row], logmel_batch(batch[row : row + 1], settings)[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gain", [0.1, 3.0, 1e-3])
def test_the_level_of_a_recording_does_not_matter(golden: dict[str, np.ndarray], part: str, gain: float) -> None:
    wave = golden[GOLDEN[part][0]].astype(np.float32) / 32768
    recipe = load_recipe(part)
    np.testing.assert_allclose(log_mel(wave * np.float32(gain), recipe), log_mel(wave, recipe), atol=0.01)


@pytest.mark.parametrize("samples", [2, 100, 2048, 95_999, 96_000, 96_001, 200_000])
def test_a_waveform_of_any_length_gives_one_shape(golden: dict[str, np.ndarray], samples: int) -> None:
    wave = np.resize(golden["pcm16_6s"][20_000:], samples).astype(np.float32) / 32768
    for part in PARTS:
        recipe = load_recipe(part)
        found = log_mel(wave, recipe)
        assert found.shape == (recipe.logmel.mel_bins, recipe.logmel.frames)
        assert np.isfinite(found).all()


def test_what_lies_beyond_the_clip_only_counts_for_the_level(golden: dict[str, np.ndarray]) -> None:
    recipe = load_recipe("part1")
    long = golden["pcm16_8s"].astype(np.float32) / 32768
    whole = standardise(long)[: recipe.clip_samples]
    found = logmel_batch(torch.from_numpy(whole)[None], recipe.logmel)[0].numpy()
    assert np.array_equal(log_mel(long, recipe), found)


def test_the_range_of_a_clip_is_at_most_80_db(golden: dict[str, np.ndarray]) -> None:
    recipe = load_recipe("part1")
    short = golden["pcm16_6s"][20_000:28_000].astype(np.float32) / 32768
    found = log_mel(short, recipe)
    # The padding is digital silence, so the floor is reached.
    assert found.max() - found.min() == pytest.approx(80, abs=1e-3)
    assert log_mel(short, load_recipe("part1", ["logmel.top_db=30"])).min() == pytest.approx(found.max() - 30, abs=1e-3)


def test_the_floor_is_each_clips_own(golden: dict[str, np.ndarray]) -> None:
    settings = load_recipe("part1").logmel
    wave = standardised(golden, "part1")
    quiet = torch.cat([wave[:8_000] * 0.01, torch.zeros(88_000)])
    found = logmel_batch(torch.stack([wave, quiet]), settings)
    ranges = (found.amax(dim=(1, 2)) - found.amin(dim=(1, 2))).tolist()
    assert ranges == pytest.approx([80, 80], abs=1e-3)


def test_a_silent_clip_is_finite() -> None:
    found = logmel_batch(torch.zeros(1, 96_000), load_recipe("part1").logmel)
    assert torch.isfinite(found).all()


def test_a_tensor_and_an_array_give_the_same(speech_wave: np.ndarray) -> None:
    recipe = load_recipe("part1")
    assert np.array_equal(log_mel(torch.from_numpy(speech_wave), recipe), log_mel(speech_wave, recipe))


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.zeros(100, np.float32), np.zeros((2, 9), np.float32)])
def test_a_waveform_that_cannot_be_used_is_an_audio_error(wave: np.ndarray) -> None:
    with pytest.raises(AudioError):
        log_mel(wave, load_recipe("part1"))


@pytest.mark.parametrize("part", PARTS)
def test_the_mel_filters_are_triangles_of_height_one_without_the_constant(part: str) -> None:
    settings = load_recipe(part).logmel
    matrix = mel_matrix(settings.mel_bins, settings.n_fft, settings.f_min_hz, settings.f_max_hz)
    assert matrix.shape == (1025, settings.mel_bins)
    assert matrix.dtype == np.float32
    assert matrix.min() == 0
    assert 0.95 < matrix.max() <= 1
    assert (matrix[0] == 0).all()
    centres = matrix[:, settings.mel_bins // 2 :].argmax(axis=0)
    assert (np.diff(centres) >= 0).all()


def test_filters_meet_at_half_height_halfway_in_mel() -> None:
    # 4 filters over 6 equal steps in mel: at every frequency two neighbours add up to one.
    matrix = mel_matrix(4, 4096, 0.0, 8000.0)
    mel = 1127 * np.log1p(np.linspace(0, 8000, 2049) / 700)
    edges = np.linspace(0, mel[-1], 6)
    between = (mel > edges[1]) & (mel < edges[4])
    np.testing.assert_allclose(matrix[between].sum(axis=1), 1, atol=1e-5)


def test_a_tone_lights_the_filter_at_its_pitch() -> None:
    recipe = load_recipe("part1")
    tone = np.sin(2 * np.pi * 1000 * np.arange(96_000) / 16_000).astype(np.float32)
    edges = np.linspace(*(1127 * np.log1p(np.array([20, 8000]) / 700)), 130)
    nearest = int(np.abs(700 * np.expm1(edges[1:-1] / 1127) - 1000).argmin())
    assert int(log_mel(tone, recipe)[:, 100].argmax()) == nearest


@pytest.mark.parametrize(
    "settings",
    [
        LogMel(mel_bins=128, frames=384),
        LogMel(mel_bins=256, frames=512),
        LogMel(mel_bins=64, frames=192),
        # Odd sizes; a range without bins; bands so narrow that some take nothing; one block and a frame.
        LogMel(mel_bins=37, frames=129, n_fft=512, f_min_hz=300.0, f_max_hz=3400.0),
        LogMel(mel_bins=200, frames=50, n_fft=256),
        LogMel(mel_bins=1, frames=2),
    ],
)
@pytest.mark.parametrize("silent", ["none", "end", "start", "middle", "all"])
def test_blocks_of_frames_give_what_one_dense_product_gives(
    speech_wave: np.ndarray, settings: LogMel, silent: str
) -> None:
    wave = torch.from_numpy(standardise(speech_wave[:48000])).repeat(2, 1)
    wave[1] = wave[1].flip(0) * 0.3
    third = wave.shape[1] // 3
    parts = {"none": [], "end": [(third, 3 * third)], "start": [(0, 2 * third)], "middle": [(third, 2 * third)]}
    for start, end in parts.get(silent, [(0, wave.shape[1])]):
        wave[:, start:end] = 0
    hop = wave.shape[1] // (settings.frames - 1)
    found, dense = logmel._clip_by_clip(wave, hop, settings), logmel._at_once(wave, hop, settings)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, dense, rtol=0, atol=2e-3)


@given(st.integers(1, 60_000), st.lists(st.integers(0, 59_999), max_size=3), st.booleans())
def test_the_ends_of_what_is_heard_are_the_first_and_last_sample_that_is_not_zero(
    length: int, loud: list[int], negative_zero: bool
) -> None:
    wave = np.zeros(length, np.float32)
    at = sorted(i for i in loud if i < length)
    wave[at] = -0.5
    first, end = logmel._ends(wave)
    assert (first, end) == (at[0], at[-1] + 1) if at else first == end
    if negative_zero:
        wave[wave == 0] = -0.0
        first, end = logmel._ends(wave)
        assert not at or first <= at[0] <= at[-1] < end


def test_training_and_prediction_use_one_function() -> None:
    assert step.logmel_batch is ensemble.logmel_batch is logmel.logmel_batch
    assert synatt.log_mel is logmel.log_mel
