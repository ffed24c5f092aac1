"""Validation scores what prediction would, at every level that is asked for, the same in every epoch."""

import numpy as np
import pytest
import torch
from torch import nn

from synatt.clipstore import ClipStore
from synatt.ensemble import Ensemble, plan
from synatt.feed import Examples
from synatt.recipe import Recipe
from synatt.staging import stage
from synatt.step import Precision
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


def test_no_rows_have_the_shape_of_none(clip_store: ClipStore, tiny_recipe: Recipe) -> None:
    nobody = Examples((), np.zeros((0, 6), np.float32))
    assert validate(nn.Identity(), nobody, clip_store, tiny_recipe, EXACT).shape == (1, 0, 6)
