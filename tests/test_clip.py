"""Cutting the fixed clip out of a recording of any length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.clip import crops, fit, standardise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_standardised_recording_has_zero_mean_and_unit_deviation(speech_wave: np.ndarray) -> None:
    found = standardise(speech_wave + 0.3)
    assert found.dtype == np.float32
    assert abs(found.mean()) < 1e-5
    assert found.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [1e-4, 0.1, 10.0])
def test_standardising_undoes_any_gain(speech_wave: np.ndarray, gain: float) -> None:
    np.testing.assert_allclose(standardise(speech_wave * np.float32(gain)), standardise(speech_wave), atol=1e-4)


@pytest.mark.parametrize("level", [1e-30, 1e30, 3e38])
@pytest.mark.parametrize("offset", [0.0, 0.9])
def test_standardising_survives_levels_whose_squares_single_precision_cannot_hold(
    speech_wave: np.ndarray, level: float, offset: float
) -> None:
    wave = (0.05 * speech_wave / np.abs(speech_wave).max() + offset).astype(np.float32) * np.float32(level)
    found = standardise(wave)
    assert np.isfinite(found).all()
    if level > 1:
        assert abs(found.mean(dtype=np.float64)) < 1e-3 and abs(found.std(dtype=np.float64) - 1) < 1e-3


@given(st.integers(1, 400), st.integers(1, 200), st.sampled_from(["zeros", "random", "end"]), st.integers(0, 99))
def test_a_clip_has_the_length_that_was_asked_for(have: int, want: int, pad: str, seed: int) -> None:
    assert fit(np.ones(have, np.float32), want, pad, rng(seed)).shape == (want,)  # type: ignore[arg-type]


@given(st.integers(10, 300), st.integers(1, 10), st.integers(0, 99))
def test_a_crop_of_a_long_recording_is_a_run_of_its_samples(have: int, want: int, seed: int) -> None:
    wave = np.arange(have, dtype=np.float32)
    found = fit(wave, want, "random", rng(seed))
    assert np.array_equal(found, found[0] + np.arange(want))
    assert found[-1] < have


def test_every_place_of_a_crop_is_drawn() -> None:
    wave = np.arange(8, dtype=np.float32)
    draw = rng()
    assert {int(fit(wave, 5, "zeros", draw)[0]) for _ in range(200)} == {0, 1, 2, 3}


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 99))
def test_zero_padding_puts_the_whole_recording_somewhere_into_silence(have: int, more: int, seed: int) -> None:
    found = fit(np.arange(1, have + 1, dtype=np.float32), have + more, "zeros", rng(seed))
    start = int(found.argmax()) - have + 1
    assert np.array_equal(found[start : start + have], np.arange(1, have + 1))
    assert (found == 0).sum() == more


def test_silence_is_split_at_random_between_both_ends() -> None:
    draw = rng()
    assert {int(fit(np.ones(4, np.float32), 7, "zeros", draw).argmax()) for _ in range(200)} == {0, 1, 2, 3}


def test_random_padding_draws_silence_or_repetition_for_each_clip() -> None:
    wave = np.array([1, 2, 3], np.float32)
    draw = rng()
    found = [fit(wave, 8, "random", draw) for _ in range(300)]
    repeated = [f for f in found if (f > 0).all()]
    assert 100 < len(repeated) < 200
    for clip in repeated:
        assert set(np.diff(clip)) <= {1.0, -2.0}
    assert all((f == 0).sum() == 5 for f in found if not (f > 0).all())


def test_end_padding_keeps_the_start_and_draws_nothing() -> None:
    draw = rng()
    assert fit(np.ones(3, np.float32), 5, "end", draw).tolist() == [1, 1, 1, 0, 0]
    assert fit(np.arange(9, dtype=np.float32), 4, "end", draw).tolist() == [0, 1, 2, 3]
    assert draw.random() == rng().random()


def test_the_crops_of_a_recording_are_fixed_by_its_samples(speech_wave: np.ndarray) -> None:
    one, again = crops(speech_wave, 16_000, "zeros", 3), crops(speech_wave.copy(), 16_000, "zeros", 3)
    assert one.shape == (3, 16_000)
    assert np.array_equal(one, again)
    assert not np.array_equal(one[0], one[1])
    moved = speech_wave.copy()
    moved[0] += 0.01
    assert not np.array_equal(crops(moved, 16_000, "zeros", 3), one)


def test_the_first_crops_stay_when_more_are_asked_for(speech_wave: np.ndarray) -> None:
    assert np.array_equal(crops(speech_wave, 16_000, "zeros", 5)[:2], crops(speech_wave, 16_000, "zeros", 2))


def test_a_recording_as_long_as_the_clip_leaves_nothing_to_draw(speech_wave: np.ndarray) -> None:
    found = crops(speech_wave, len(speech_wave), "random", 2)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], standardise(speech_wave))


def test_a_crop_is_standardised_by_the_whole_recording_not_by_itself(speech_wave: np.ndarray) -> None:
    levels = crops(speech_wave, 4_000, "zeros", 20).std(axis=1)
    assert levels.max() > 1.2 * levels.min()
