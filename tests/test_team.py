"""Workers of a real process group: the gradient of the whole batch, exact metrics, whatever their number."""

import numpy as np
import pytest

from synatt.clipstore import ClipStore
from synatt.feed import Examples
from synatt.recipe import Recipe
from tests.conftest import make_tiny_recipe
from tests.teams import gradient, together, trained

CALM = {"group_p": 0, "mixup_p": 0, "cutmix_p": 0}


@pytest.mark.parametrize(("dtype", "within"), [("float64", 1e-10), ("float32", 1e-5)])
def test_workers_give_the_gradient_of_the_whole_batch(dtype: str, within: float) -> None:
    """11 clips: uneven over 2 and over 4 workers, and in micro-batches of 2."""
    recipe = make_tiny_recipe("test_convnext")
    (whole, _), *_ = together(1, gradient, recipe, 11, dtype)
    assert np.abs(whole).max() > 1e-3
    for world in (2, 4):
        for rank, (found, waited) in enumerate(together(world, gradient, recipe, 2, dtype)):
            np.testing.assert_allclose(found, whole, atol=within, rtol=0, err_msg=f"rank {rank} of {world}")
            assert waited > 0


@pytest.fixture
def rows(clip_tracks: tuple[str, ...]) -> Examples:
    # 11 of 12: the last global batch is uneven.
    return Examples(clip_tracks[:11], np.eye(6, dtype=np.float32)[[i % 6 for i in range(11)]])


def ends(recipe: Recipe, store: ClipStore, rows: Examples, worlds: tuple[int, ...], valid: Examples | None) -> list:
    return [together(world, trained, recipe, (store.folder, store.names), rows, 2, valid) for world in worlds]


def test_teams_of_any_size_end_with_the_same_weights_and_metrics(clip_store: ClipStore, rows: Examples) -> None:
    """Fewer workers make up for the others by accumulating: one, two and three of them, for a plan of two."""
    recipe = make_tiny_recipe("test_convnext", augment=CALM, train={"lr_start": 1e-3, "lr_max": 1e-4})
    one, two, three = ends(recipe, clip_store, rows, (1, 2, 3), rows)
    for team in (two, three):
        for worker in team:
            for name, tensor in one[0]["weights"].items():
                np.testing.assert_allclose(worker["weights"][name], tensor, atol=2e-5, err_msg=name)
            assert worker["confusion"] == one[0]["confusion"]
            for key in ("macro_f1", "accuracy", "clips", "loss"):
                values = [[row[key] for row in run["curve"]] for run in (worker, one[0])]
                np.testing.assert_allclose(*values, atol=1e-5, err_msg=key)
    assert {row["clips"] for row in one[0]["curve"]} == {11}
    assert all(row["sync_s"] > 0 for row in two[0]["curve"]) and all(row["sync_s"] == 0 for row in one[0]["curve"])


def test_batch_statistics_are_each_workers_own_and_end_as_their_mean(clip_store: ClipStore, rows: Examples) -> None:
    recipe = make_tiny_recipe("test_efficientnet", train={"lr_start": 1e-3, "freeze_epochs": 1, "ema_decay": 0.9})
    team, again = ends(recipe, clip_store, rows, (2, 2), rows)
    for name, tensor in team[0]["weights"].items():
        np.testing.assert_allclose(team[1]["weights"][name], tensor, atol=1e-6, err_msg=name)
    assert team[0]["confusion"] == team[1]["confusion"]
    # The same seed and number of workers: bit-equal weights.
    for name, tensor in team[0]["weights"].items():
        assert np.array_equal(again[0]["weights"][name], tensor), name
