"""A training run of one worker: it learns, and what was stopped goes on as if it had not been."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synatt.clipstore import ClipStore
from synatt.feed import Examples, Place
from synatt.recipe import Recipe
from synatt.schedule import learning_rate
from synatt.step import EpochStats
from synatt.training import Plan, Run, describe
from tests.conftest import make_tiny_recipe

CPU = torch.device("cpu")


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    return Examples(clip_tracks, np.eye(6, dtype=np.float32)[[i % 6 for i in range(12)]])


def plan(recipe: Recipe, epochs: int, accumulate: int = 1) -> Plan:
    return Plan(recipe, recipe.backbones[0], 0, epochs, accumulate, 4 * accumulate)


def run(
    recipe: Recipe, epochs: int, train: Examples, store: ClipStore, valid: Examples | None = None, **more: object
) -> Run:
    return Run(plan(recipe, epochs), train, valid, store, Place(), CPU, **more)  # type: ignore[arg-type]


def finish(made: Run) -> Run:
    for _ in made.epochs():
        pass
    return made


@pytest.mark.parametrize("timm", ["test_resnet", "test_efficientnet"])
def test_training_a_handful_of_clips_lowers_the_loss_and_learns_them(
    examples: Examples, clip_store: ClipStore, timm: str
) -> None:
    calm = {"group_p": 0, "mixup_p": 0, "cutmix_p": 0}
    recipe = make_tiny_recipe(timm, augment=calm, train={"lr_start": 3e-3, "lr_max": 1e-3, "decay": 0.95})
    made = finish(run(recipe, 20, examples, clip_store, examples))
    losses = [row["loss"] for row in made.progress.curve]
    assert losses[-1] < 0.7 * losses[0]
    assert losses[-1] < 1.3
    assert made.progress.curve[-1]["accuracy"] > 0.5


@pytest.mark.parametrize("timm", ["test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, examples: Examples, clip_store: ClipStore, timm: str, stop_after: int
) -> None:
    # Dropout draws too.
    recipe = make_tiny_recipe(timm, train={"lr_start": 1e-3, "lr_max": 5e-4, "drop_rate": 0.3})
    whole = finish(run(recipe, 3, examples, clip_store, examples))
    stopped = run(recipe, 3, examples, clip_store, examples)
    for row in stopped.epochs():
        if row["epoch"] == stop_after:
            break
    stopped.save(tmp_path)
    torch.manual_seed(999)
    resumed = run(recipe, 3, examples, clip_store, examples, checkpoint=tmp_path)
    assert resumed.progress.epoch == stop_after
    finish(resumed)
    expected, found = whole.bare.state_dict(), resumed.bare.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for key in ("epoch", "lr", "loss", "clips", "macro_f1", "accuracy", "temperature"):
        assert [r[key] for r in resumed.progress.curve] == [r[key] for r in whole.progress.curve]


def test_a_finished_run_that_goes_on_does_nothing(tmp_path: Path, examples: Examples, clip_store: ClipStore) -> None:
    made = finish(run(make_tiny_recipe(), 1, examples, clip_store))
    made.save(tmp_path)
    again = run(make_tiny_recipe(), 1, examples, clip_store, checkpoint=tmp_path)
    assert list(again.epochs()) == []
    assert again.progress.curve == made.progress.curve


def test_a_run_that_goes_on_asks_for_no_pretrained_weights(
    tmp_path: Path, examples: Examples, clip_store: ClipStore
) -> None:
    finish(run(make_tiny_recipe(), 1, examples, clip_store)).save(tmp_path)
    gone = make_tiny_recipe(weights={"source": "folder", "folder": "/nowhere"})
    assert len(list(run(gone, 2, examples, clip_store, checkpoint=tmp_path).epochs())) == 1


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, examples: Examples, clip_store: ClipStore) -> None:
    torch.save({"net": Malicious(tmp_path / "was_run")}, tmp_path / "state.pt")
    with pytest.raises(Exception, match="weights_only"):
        run(make_tiny_recipe(), 1, examples, clip_store, checkpoint=tmp_path)
    assert not (tmp_path / "was_run").exists()


def test_every_epoch_has_the_schedules_learning_rate(examples: Examples, clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe(train={"lr_max": 1e-4, "lr_min": 1e-5, "warmup_epochs": 2})
    made = run(recipe, 4, examples, clip_store)
    used = [(row["lr"], made.optimizer.param_groups[0]["lr"]) for row in made.epochs()]
    wanted = [learning_rate(epoch, 4, recipe.train) for epoch in range(4)]
    assert used == list(zip(wanted, wanted, strict=True))
    assert [row["epoch"] for row in made.progress.curve] == [1, 2, 3, 4]


def test_workers_start_from_equal_weights(examples: Examples, clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe()
    one, other = (
        Run(plan(recipe, 1), examples, None, clip_store, Place(rank, 2), CPU).bare.state_dict() for rank in (0, 1)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_statistics_go_through_the_reduction_over_workers(examples: Examples, clip_store: ClipStore) -> None:
    def doubled(stats: EpochStats) -> EpochStats:
        return EpochStats(9.0, 2 * stats.clips, stats.wait_s, stats.compute_s)

    (row,) = run(make_tiny_recipe(), 1, examples, clip_store, reduce=doubled).epochs()
    assert (row["loss"], row["clips"]) == (9.0, 24)


def test_the_stage_chooses_the_batch() -> None:
    recipe = make_tiny_recipe(backbones=[{"name": "A", "timm": "test_convnext", "batch": [3, 5], "epochs": [1, 1]}])
    assert [Plan(recipe, recipe.backbones[0], stage, 1, 1, 1).batch for stage in (0, 1)] == [3, 5]


def test_validation_rows_are_not_trained_on_and_do_not_change_training(
    examples: Examples, clip_store: ClipStore
) -> None:
    part, rest = Examples(examples.tracks[:8], examples.target[:8]), Examples(examples.tracks[8:], examples.target[8:])
    judged = finish(run(make_tiny_recipe("test_efficientnet"), 2, part, clip_store, rest))
    alone = finish(run(make_tiny_recipe("test_efficientnet"), 2, part, clip_store))
    one, other = judged.bare.state_dict(), alone.bare.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {"macro_f1", "accuracy", "temperature"} <= set(judged.progress.curve[0])
    assert "macro_f1" not in alone.progress.curve[0]


def test_an_epoch_is_described_in_one_line() -> None:
    row = {"epoch": 2, "lr": 1e-4, "loss": 1.5, "clips": 100, "wait_s": 1.0, "compute_s": 3.0, "seconds": 5.0}
    assert describe("Net", row, 4) == (
        "Net epoch 2/4: loss 1.500, lr 1.00e-04, 25 clips/s, waited 1.0 of 5 s, 10 s left"
    )
    assert "macro F1 0.750" in describe("Net", {**row, "macro_f1": 0.75}, 4)
