"""Pitch, speed, level, band and packets: each changes what its parameters say, on real speech."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt.perturb import band, edit, gain, loss
from tests.perturb.hearing import pitch_hz, share_above

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("semitones", [-3.0, -0.6, 1.5, 3.0])
def test_pitch_moves_by_semitones_and_the_tempo_stays(speech: np.ndarray, semitones: float) -> None:
    moved = edit.apply(speech, RNG, semitones=semitones)
    assert abs(12 * np.log2(pitch_hz(moved) / pitch_hz(speech)) - semitones) < 0.5
    envelopes = [np.abs(wave).reshape(-1, 1600).mean(axis=1) for wave in (speech, moved)]
    assert np.corrcoef(*envelopes)[0, 1] > 0.9


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_speed_moves_pitch_and_tempo(speech: np.ndarray, speed: float) -> None:
    moved = edit.apply(speech, RNG, speed=speed)
    assert abs(pitch_hz(moved) / pitch_hz(speech) - speed) < 0.03
    if speed > 1:
        assert not moved[round(len(speech) / speed) + 50 :].any(), "what became shorter is filled with zeros"


def test_clipping_cuts_off_the_share_asked_for(speech: np.ndarray) -> None:
    for share in (0.003, 0.02, 0.1):
        out = gain.apply(speech, RNG, clipped=share)
        assert abs(np.mean(np.isclose(np.abs(out), np.abs(out).max())) - share) < 0.3 * share


def test_a_quiet_recording_has_few_levels_left(speech: np.ndarray) -> None:
    levels = [len(np.unique(gain.apply(speech, RNG, gain_db=db))) for db in (-5.0, -30.0, -50.0)]
    assert levels[0] > 4 * levels[1] > 16 * levels[2] and levels[2] < 256


def test_a_band_leaves_what_lies_inside(speech: np.ndarray) -> None:
    bright = speech + 0.05 * np.random.default_rng(1).standard_normal(len(speech)).astype(np.float32)
    out = band.apply(bright, RNG, low_hz=300.0, high_hz=3_400.0)
    assert share_above(out, 4_500) < 0.01 * share_above(bright, 4_500)
    assert 1 - share_above(out, 150) < 0.1 * (1 - share_above(bright, 150))
    whole = band.apply(bright, RNG, low_hz=0.0, high_hz=7_500.0)
    assert np.corrcoef(whole, bright)[0, 1] > 0.98


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), lost=st.floats(0.02, 0.3), burst=st.floats(1.0, 4.0))
def test_packets_are_lost_at_their_share_and_in_their_bursts(seed: int, lost: float, burst: float) -> None:
    gone = loss.gilbert(50_000, lost, burst, np.random.default_rng(seed))
    starts = np.count_nonzero(gone[1:] & ~gone[:-1]) + gone[0]
    assert abs(gone.mean() - lost) < 0.15 * lost + 0.002
    # With a burst of one packet the chain must come back after each.
    assert abs(gone.sum() / starts - burst) < 0.2 * burst


def test_a_lost_packet_is_silent_or_the_one_before_at_half_the_level(speech: np.ndarray) -> None:
    silent, repeated = (
        loss.apply(speech, np.random.default_rng(3), lost=0.2, burst=1.0, fill=fill) for fill in loss.FILLS
    )
    size = len(speech) // loss.PACKET
    before, after, filled = (w[: size * loss.PACKET].reshape(size, -1) for w in (speech, silent, repeated))
    gone = ~np.isclose(before, after).all(axis=1)
    assert 0.1 < gone.mean() < 0.35 and not after[gone].any()
    alone = np.flatnonzero(gone[1:] & ~gone[:-1]) + 1
    assert np.allclose(filled[alone], 0.5 * before[alone - 1])


def test_a_short_clip_loses_one_packet_at_least() -> None:
    assert all(loss.gilbert(10, 0.01, 1.0, np.random.default_rng(seed)).any() for seed in range(50))
