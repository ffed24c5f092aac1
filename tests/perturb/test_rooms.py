"""A room reverberates as long as it should, the further away the more, and does not move the speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt.constants import RATE_HZ
from synatt.perturb import read_materials, rooms
from synatt.perturb.materials import short
from synatt.perturb.signal import power
from tests.perturb.hearing import lag

SIZE = {"length_m": 6.0, "width_m": 5.0, "height_m": 3.0}


def rt60(response: np.ndarray, low_db: float = -25.0) -> float:
    """Seconds for a fall of 60 dB, from the slope of the energy that is left (Schroeder 1965)."""
    left_db = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
    line = np.flatnonzero((left_db < -5) & (left_db > low_db))
    return float(-60 / np.polyfit(line / RATE_HZ, left_db[line], 1)[0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wanted_s=st.floats(0.3, 1.2))
def test_a_room_decays_in_its_rt60(seed: int, wanted_s: float) -> None:
    response = rooms.simulate(np.random.default_rng(seed), wanted_s, 3.0, **SIZE)
    assert 0.5 < np.abs(response[:2]).max() < 1.3 and len(response) == round(wanted_s * RATE_HZ)
    tail = response.copy()
    tail[:2] = 0.0
    assert abs(rt60(tail) - wanted_s) < 0.35 * wanted_s


def test_image_sources_and_tail_meet_without_a_step() -> None:
    """The level of the diffuse tail is that of the last image sources: within 4 dB over many rooms."""
    steps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        response = rooms.simulate(rng, 0.8, 2.0, **SIZE)
        mixing, width = round(rooms.ORDER * SIZE["height_m"] / rooms.SOUND_M_S * RATE_HZ), 320
        before, after = response[mixing - width : mixing], response[mixing : mixing + width]
        steps.append(10 * np.log10(np.mean(after**2) / np.mean(before**2)))
    assert abs(float(np.median(steps))) < 4.0, np.round(steps, 1)


def test_further_away_is_less_direct() -> None:
    def direct_db(distance_m: float) -> float:
        found = [rooms.simulate(np.random.default_rng(s), 0.6, distance_m, **SIZE) for s in range(20)]
        return float(np.median([10 * np.log10(1 / np.sum(r[40:] ** 2)) for r in found]))

    assert direct_db(0.5) > direct_db(1.5) + 4 > direct_db(4.0) + 6


@pytest.mark.parametrize("level", ["weak", "medium", "strong"])
def test_a_room_keeps_the_power_and_the_place_of_speech(speech: np.ndarray, level: str) -> None:
    for seed in range(10):
        drawn = rooms.draw(level, np.random.default_rng(seed))
        low, high = rooms.RT60_S[level]
        assert low <= drawn["rt60_s"] <= high
        wet = rooms.apply(speech, np.random.default_rng(seed), **drawn)
        assert np.isclose(power(wet), power(speech), rtol=1e-3)
        # Further away the sum of reflections may be stronger than what comes directly.
        assert level != "weak" or abs(lag(speech, wet)) <= 2


def test_a_source_and_a_microphone_stand_inside_and_apart() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        size = np.array([rng.uniform(2.5, 12), rng.uniform(2.5, 10), rng.uniform(2.3, 4.5)])
        places = rooms._places(size, rng.uniform(0.3, 4.0), rng)
        assert all((place > 0.29).all() and (place < size - 0.29).all() for place in places)
        assert np.linalg.norm(places[0] - places[1]) >= 0.1


def test_recorded_rooms_are_used_from_their_direct_sound_on(tmp_path: Path, speech: np.ndarray) -> None:
    response = np.zeros(8_000)
    response[500], response[2_100] = 0.8, 0.4  # an echo of half the level 0.1 s later
    sf.write(tmp_path / "hall.wav", response, RATE_HZ)
    materials = read_materials(rooms=[str(tmp_path)])
    name = short(materials.rooms[0])
    drawn = [rooms.draw("weak", np.random.default_rng(seed), materials)["room"] for seed in range(60)]
    assert 15 < drawn.count(name) < 45 and set(drawn) == {name, "simulated"}
    wet = rooms.apply(speech, np.random.default_rng(0), materials, room=name)
    wanted = speech + 0.5 * np.pad(speech, (1_600, 0))[: len(speech)]
    assert np.corrcoef(wet, wanted)[0, 1] > 0.9999
