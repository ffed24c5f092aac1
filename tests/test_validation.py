"""Validation scores what prediction would, at every level that is asked for, the same in every epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt import manifest
from synatt.backbones import create
from synatt.clip import crops, standardise
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.ensemble import Ensemble, plan
from synatt.feed import Examples
from synatt.neighbours import Neighbours
from synatt.precision import Precision
from synatt.recipe import Recipe
from synatt.staging import stage
from synatt.takes import judged_take, key, store_takes, wanted_takes
from synatt.validation import HeldOut, answers, judged_wave, known_neighbours, validate
from tests.conftest import MakeModel, make_tiny_recipe

CPU = torch.device("cpu")
EXACT = Precision(CPU, None)


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    return Examples(clip_tracks, np.eye(6, dtype=np.float32)[[i % 6 for i in range(12)]])


def test_it_takes_the_crop_that_prediction_takes(
    examples: Examples, clip_store: ClipStore, clip_paths: list[str], make_model: MakeModel
) -> None:
    recipe = make_tiny_recipe(clip={"seconds": 0.5, "pad": "zeros"})
    ensemble = Ensemble(plan([make_model(recipe=recipe)]), CPU)
    predicted = ensemble.score(stage(examples.tracks, clip_paths, ensemble.plan).logmels, examples.tracks).probs_NBC[0]
    logits = validate(ensemble.models[0].net, examples, clip_store, recipe, EXACT).logits
    assert logits.shape == (1, 12, 6)
    np.testing.assert_allclose(torch.softmax(torch.from_numpy(logits[0]), dim=1).numpy(), predicted, atol=1e-6)


def test_levels_are_scored_apart_and_alike_each_time(
    examples: Examples, clip_store: ClipStore, make_model: MakeModel
) -> None:
    recipe = make_tiny_recipe(tune={"judge_levels": ["clean", "strong"]})
    net = Ensemble(plan([make_model(recipe=recipe)]), CPU).models[0].net
    both, again = (validate(net, examples, clip_store, recipe, EXACT).logits for _ in range(2))
    clean = validate(net, examples, clip_store, make_tiny_recipe(), EXACT).logits
    assert both.shape == (2, 12, 6) and np.array_equal(both, again)
    assert np.array_equal(both[0], clean[0]) and not np.allclose(both[1], both[0], atol=1e-3)
    few = Examples(examples.tracks[5:7], examples.target[5:7])
    np.testing.assert_allclose(validate(net, few, clip_store, recipe, EXACT).logits, both[:, 5:7], atol=1e-5)


@pytest.mark.parametrize("level", ["weak", "medium", "strong"])
def test_a_name_fixes_what_is_done_to_a_recording(clip_store: ClipStore, level: str) -> None:
    one, again = (judged_wave(clip_store, "t03", level) for _ in range(2))
    assert np.array_equal(one, again) and not np.array_equal(one, clip_store.wave("t03"))


def test_a_stored_take_is_what_would_be_made(
    examples: Examples, clip_store: ClipStore, clip_paths: list[str], make_model: MakeModel, tmp_path: Path
) -> None:
    """Also where a crop is taken, whose place every sample decides of."""
    recipe = make_tiny_recipe(tune={"judge_levels": ["clean", "medium", "strong"]}, clip={"seconds": 0.5})
    rows = [{"track": t, "path": p, "label": 0} for t, p in zip(examples.tracks, clip_paths, strict=True)]
    (shard,) = plan_shards(examples.tracks, clip_paths)
    name = store_shard(str(tmp_path), shard, 60.0)
    takes = wanted_takes(manifest.build(rows, recipe.require_classes()), recipe, judged=True)
    full = ClipStore(str(tmp_path), [name, *store_takes(str(tmp_path), name, shard, takes)])
    assert len(full) == 3 * len(clip_store)
    for level in ("clean", "medium", "strong"):
        for track in examples.tracks:
            assert np.array_equal(judged_wave(full, track, level), judged_wave(clip_store, track, level))
    whole = judged_take(clip_store.wave("t03"), "t03", "medium")
    np.testing.assert_allclose(standardise(judged_wave(full, "t03", "medium")), standardise(whole), atol=2e-3)
    net = Ensemble(plan([make_model(recipe=recipe)]), CPU).models[0].net
    stored, made_here = (validate(net, examples, store, recipe, EXACT).logits for store in (full, clip_store))
    assert np.array_equal(stored, made_here)


def test_a_stored_take_is_not_made_again(clip_store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"t03": np.zeros(9, np.float32), key("t03", "weak"): np.ones(9, np.float32)}

    class Held(dict[str, np.ndarray]):
        def wave(self, track: str) -> np.ndarray:
            return self[track]

    monkeypatch.setattr("synatt.validation.judged_take", lambda *a: np.full(9, 0.5, np.float32))
    assert judged_wave(Held(held), "t03", "weak").max() == 1.0  # type: ignore[arg-type]
    assert judged_wave(Held(held), "t03", "strong").max() == 0.5  # type: ignore[arg-type]


def test_no_rows_have_the_shape_of_none(clip_store: ClipStore, tiny_recipe: Recipe) -> None:
    nobody, net = Examples((), np.zeros((0, 6), np.float32)), create(tiny_recipe.backbones[0], tiny_recipe)
    known = Neighbours(np.random.default_rng(0).normal(size=(30, tiny_recipe.head_units)))
    found = validate(net, nobody, clip_store, tiny_recipe, EXACT, known)
    assert found.logits.shape == (1, 0, 6) and found.unlikeness is not None and found.unlikeness.shape == (1, 0)


def test_neighbours_are_known_clips_in_turn_each_time_another_draw(examples: Examples, clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe(predict={"neighbours": 40}, augment={"perturb_p": 1.0, "perturb_kinds": ["noise"]})
    net = create(recipe.backbones[0], recipe)
    found, again = (known_neighbours(net, examples, clip_store, recipe, EXACT) for _ in range(2))
    assert found is not None and again is not None and found.vectors_TE.shape == (40, recipe.head_units)
    assert np.array_equal(found.vectors_TE, again.vectors_TE)
    # Ten clips of five known classes, four draws of each: no two alike, and unknown clips have no part in it.
    assert len(np.unique(found.vectors_TE.round(6), axis=0)) == 40
    soft = Examples(examples.tracks, np.where(np.eye(6)[[i % 6 for i in range(12)]] == 1, 0.9, 0.02).astype(np.float32))
    assert known_neighbours(net, soft, clip_store, recipe, EXACT) is None
    assert known_neighbours(net, examples, clip_store, make_tiny_recipe(), EXACT) is None


def test_rows_are_held_against_their_neighbours_level_by_level(examples: Examples, clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe(predict={"neighbours": 40}, tune={"judge_levels": ["clean", "strong"]})
    net = create(recipe.backbones[0], recipe)
    known = known_neighbours(net, examples, clip_store, recipe, EXACT)
    assert known is not None
    found = validate(net, examples, clip_store, recipe, EXACT, known)
    assert found.unlikeness is not None and found.unlikeness.shape == (2, 12)
    clips = [crops(clip_store.wave(t), recipe.clip_samples, "zeros", 1)[0] for t in examples.tracks]
    vectors, _ = answers(net, clips, recipe, EXACT)
    np.testing.assert_allclose(found.unlikeness[0], known.unlikeness(vectors), atol=1e-4)


@given(rows=st.integers(0, 7), world=st.integers(1, 3), far=st.booleans())
def test_parts_of_workers_come_together_and_back_from_bytes(rows: int, world: int, far: bool) -> None:
    rng = np.random.default_rng(0)
    logits, unlikeness = rng.normal(size=(2, rows, 3)).astype(np.float32), rng.normal(size=(2, rows))
    parts = [HeldOut(logits[:, k::world], unlikeness[:, k::world] if far else None) for k in range(world)]
    found = HeldOut.decode(HeldOut.together(parts).encode())
    np.testing.assert_array_equal(found.logits, logits)
    assert (found.unlikeness is not None) == far and (not far or np.array_equal(found.unlikeness, unlikeness))
