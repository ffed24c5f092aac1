"""Shortcut features on real speech: each known change moves its own features by a known amount, and no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.signal import firwin, oaconvolve

from synatt.constants import RATE_HZ
from synatt.shortcuts import FAMILIES, FEATURES, features


def named(wave: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, features(wave), strict=True))


@pytest.fixture(scope="module")
def clip(golden: dict[str, np.ndarray]) -> np.ndarray:
    """float64 `[S]`: the loud middle of real speech, 2.5 s."""
    return golden["pcm16_6s"][24_000:64_000].astype(np.float64) / 32768


def moved(before: dict[str, float], after: dict[str, float], tolerance: float = 1e-3) -> set[str]:
    return {name for name in FEATURES if abs(after[name] - before[name]) > tolerance * max(1, abs(before[name]))}


def test_features_are_those_of_the_families_in_their_order(clip: np.ndarray) -> None:
    assert tuple(FEATURES) == sum(FAMILIES.values(), ())
    assert features(clip).shape == (len(FEATURES),)
    assert named(clip)["duration_s"] == len(clip) / RATE_HZ


def test_a_gain_moves_the_level_by_its_decibels_and_nothing_else(clip: np.ndarray) -> None:
    before, after = named(clip), named(clip / 4)
    for name in FAMILIES["level"]:
        assert after[name] - before[name] == pytest.approx(-12.04, abs=0.02)
    assert moved(before, after) == set(FAMILIES["level"])


def test_added_silence_is_found_at_its_end(clip: np.ndarray) -> None:
    before = named(clip)
    after = named(np.concatenate([np.zeros(8_000), clip, np.zeros(4_800)]))
    assert after["leading_s"] - before["leading_s"] == pytest.approx(0.5, abs=0.011)
    assert after["trailing_s"] - before["trailing_s"] == pytest.approx(0.3, abs=0.011)
    assert after["duration_s"] - before["duration_s"] == pytest.approx(0.8)
    quiet_s = before["silent_share"] * before["duration_s"] + 0.8
    assert after["silent_share"] == pytest.approx(quiet_s / after["duration_s"], abs=0.01)


def test_a_low_pass_takes_the_power_above_it_and_leaves_level_and_duration(clip: np.ndarray) -> None:
    low = oaconvolve(clip, firwin(511, 3_000, fs=RATE_HZ), mode="same")
    before, after = named(clip), named(low)
    for name in ("above4k_db", "above6k_db", "above7k_db"):
        assert after[name] < before[name] - 15
    assert after["rolloff99_hz"] <= min(before["rolloff99_hz"], 3_100)
    assert after["duration_s"] == before["duration_s"]
    assert after["rms_dbfs"] == pytest.approx(before["rms_dbfs"], abs=1.5)


def test_a_tone_has_its_own_frequency_as_both_roll_offs() -> None:
    tone = np.sin(2 * np.pi * 5_000 * np.arange(RATE_HZ) / RATE_HZ)
    found = named(tone)
    assert found["rolloff95_hz"] == pytest.approx(5_000, abs=63)
    assert found["rms_dbfs"] == pytest.approx(-3.01, abs=0.01)
    assert found["above4k_db"] == pytest.approx(0.0, abs=0.01)
    assert found["above6k_db"] < -60


@given(hnp.arrays(np.float32, st.integers(1, 3_000), elements=st.floats(-1, 1, width=32)))
def test_every_wave_has_finite_features(wave: np.ndarray) -> None:
    assert np.isfinite(features(wave)).all()
    assert 0 <= named(wave)["silent_share"] <= 1
