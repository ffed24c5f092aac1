"""The suite: what was asked for is drawn, the seed fixes it, the length stays, nothing that is odd breaks it."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt import sections
from synatt.errors import UsageError
from synatt.perturb import KINDS, LEVELS, SPCUP_KINDS, apply, check_kinds, choose, perturb
from synatt.perturb.signal import PEAK, limit
from synatt.perturb.suite import MODULES, MOST

seeds = st.integers(0, 2**32 - 1)
levels = st.sampled_from(LEVELS[1:])


@settings(max_examples=60, deadline=None)
@given(seed=seeds, level=levels)
def test_a_perturbed_wave_is_finite_limited_and_as_long_as_before(speech: np.ndarray, seed: int, level: str) -> None:
    rng = np.random.default_rng(seed)
    start = int(rng.integers(0, len(speech) // 2))
    wave = speech[start : start + int(rng.integers(3_000, len(speech) // 2))]
    out, kind, parameters = perturb(wave, level, rng)
    assert out.dtype == np.float32 and out.shape == wave.shape
    assert np.isfinite(out).all() and np.abs(out).max() <= PEAK + 1e-6
    assert not np.array_equal(out, wave)
    assert parameters and 1 <= len(kind.split("+")) <= MOST[level]


@settings(max_examples=20, deadline=None)
@given(seed=seeds, level=levels)
def test_one_seed_gives_one_result(speech: np.ndarray, seed: int, level: str) -> None:
    first, again = (perturb(speech, level, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first[0], again[0]) and first[1:] == again[1:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_kind_has_parameters_of_its_own_and_takes_what_it_draws(speech: np.ndarray, kind: str, level: str) -> None:
    others = {
        n for k in KINDS if k != kind for s in range(30) for n in MODULES[k].draw(level, np.random.default_rng(s))
    }
    for seed in range(8):
        chosen = choose(level, np.random.default_rng(seed), [kind])
        assert chosen.kind == kind and not others & set(chosen.parameters)
        out = apply(speech, chosen, np.random.default_rng(seed))
        assert np.isfinite(out).all() and not np.array_equal(out, speech)


def test_every_kind_is_drawn_and_only_from_medium_on_they_meet() -> None:
    rng = np.random.default_rng(0)
    drawn = {level: {choose(level, rng).kind for _ in range(600)} for level in LEVELS[1:]}
    assert drawn["weak"] == set(KINDS)
    pairs = len(KINDS) * (len(KINDS) - 1) // 2
    assert len(drawn["medium"]) == len(drawn["strong"]) == len(KINDS) + pairs
    for kinds in (kind.split("+") for kind in drawn["strong"]):
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_only_the_kinds_that_are_given_are_drawn() -> None:
    drawn = {choose("strong", np.random.default_rng(seed), SPCUP_KINDS).kind for seed in range(100)}
    assert drawn == {"room", "noise", "codec", "room+noise", "room+codec", "noise+codec"}
    assert check_kinds(["codec", "room"]) == ("room", "codec")
    with pytest.raises(UsageError, match="'reverb'.*edit, room, noise"):
        choose("weak", np.random.default_rng(0), ["reverb"])
    with pytest.raises(UsageError, match="no kind of perturbation is given"):
        check_kinds([])


def test_clean_changes_nothing(speech: np.ndarray) -> None:
    out, kind, parameters = perturb(speech, "clean", np.random.default_rng(0))
    assert np.array_equal(out, speech) and kind == "none" and parameters == {}


def test_an_unknown_level_is_named(speech: np.ndarray) -> None:
    with pytest.raises(UsageError, match="'severe'.*clean, weak, medium, strong"):
        perturb(speech, "severe", np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_silence_a_click_and_one_sample_pass(kind: str) -> None:
    click = np.zeros(4_000, np.float32)
    click[2_000] = 0.9
    for wave in (np.zeros(4_000, np.float32), click, np.full(1, 0.1, np.float32), np.zeros(1, np.float32)):
        for seed in range(6):
            out, _, _ = perturb(wave, "strong", np.random.default_rng(seed), [kind])
            assert out.shape == wave.shape and np.isfinite(out).all()


def test_the_recipe_allows_what_the_suite_knows() -> None:
    assert get_args(sections.Kind) == KINDS and get_args(sections.Level) == LEVELS[1:]


def test_the_limiter_scales_only_what_is_too_loud() -> None:
    loud, quiet = np.array([0.5, -2.0, 1.0]), np.array([0.5, -0.2])
    assert np.allclose(limit(loud), loud * PEAK / 2)
    assert np.array_equal(limit(quiet), quiet.astype(np.float32))


def test_rooms_noise_and_codecs_are_drawn_three_times_as_often() -> None:
    drawn = [choose("weak", np.random.default_rng(seed)).kind for seed in range(3_900)]
    for kind in KINDS:
        wanted = 900 if kind in SPCUP_KINDS else 300
        assert abs(drawn.count(kind) - wanted) < 5 * wanted**0.5, kind
