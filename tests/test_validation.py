"""Validation scores what prediction would, at every level that is asked for, the same in every epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from synatt import manifest
from synatt.clip import standardise
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.ensemble import Ensemble, plan
from synatt.feed import Examples
from synatt.recipe import Recipe
from synatt.staging import stage
from synatt.step import Precision
from synatt.takes import judged_take, key, store_takes, wanted_takes
from synatt.validation import judged_wave, validate
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
    predicted = ensemble.score(stage(examples.tracks, clip_paths, ensemble.plan).logmels).probs_NBC[0]
    logits = validate(ensemble.models[0].net, examples, clip_store, recipe, EXACT)
    assert logits.shape == (1, 12, 6)
    np.testing.assert_allclose(torch.softmax(torch.from_numpy(logits[0]), dim=1).numpy(), predicted, atol=1e-6)


def test_levels_are_scored_apart_and_alike_each_time(
    examples: Examples, clip_store: ClipStore, make_model: MakeModel
) -> None:
    recipe = make_tiny_recipe(tune={"judge_levels": ["clean", "strong"]})
    net = Ensemble(plan([make_model(recipe=recipe)]), CPU).models[0].net
    both, again = (validate(net, examples, clip_store, recipe, EXACT) for _ in range(2))
    clean = validate(net, examples, clip_store, make_tiny_recipe(), EXACT)
    assert both.shape == (2, 12, 6) and np.array_equal(both, again)
    assert np.array_equal(both[0], clean[0]) and not np.allclose(both[1], both[0], atol=1e-3)
    few = Examples(examples.tracks[5:7], examples.target[5:7])
    np.testing.assert_allclose(validate(net, few, clip_store, recipe, EXACT), both[:, 5:7], atol=1e-5)


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
    stored, made_here = (validate(net, examples, store, recipe, EXACT) for store in (full, clip_store))
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
    nobody = Examples((), np.zeros((0, 6), np.float32))
    assert validate(nn.Identity(), nobody, clip_store, tiny_recipe, EXACT).shape == (1, 0, 6)
