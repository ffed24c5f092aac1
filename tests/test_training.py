"""A training run of one worker: it learns, and what was stopped goes on as if it had not been."""

import numpy as np
import pytest
import torch

from synatt.checkpoints import decode, encode
from synatt.clipstore import ClipStore
from synatt.feed import Examples, Place
from synatt.recipe import Recipe
from synatt.schedule import learning_rate
from synatt.team import Team
from synatt.training import Plan, Run, describe, make_plan
from tests.conftest import make_tiny_recipe

CPU = torch.device("cpu")


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    return Examples(clip_tracks, np.eye(6, dtype=np.float32)[[i % 6 for i in range(12)]])


def plan(recipe: Recipe, epochs: int) -> Plan:
    return make_plan(recipe, recipe.backbones[0], 0, epochs, 1)


def run(
    recipe: Recipe, epochs: int, train: Examples, store: ClipStore, valid: Examples | None = None, **more: object
) -> Run:
    return Run(plan(recipe, epochs), train, valid, store, CPU, **more)  # type: ignore[arg-type]


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
    examples: Examples, clip_store: ClipStore, timm: str, stop_after: int
) -> None:
    # Dropout draws too.
    recipe = make_tiny_recipe(timm, train={"lr_start": 1e-3, "lr_max": 5e-4, "drop_rate": 0.3})
    whole = finish(run(recipe, 3, examples, clip_store, examples))
    stopped = run(recipe, 3, examples, clip_store, examples)
    for row in stopped.epochs():
        if row["epoch"] == stop_after:
            break
    kept = encode(stopped.state())
    torch.manual_seed(999)
    resumed = run(recipe, 3, examples, clip_store, examples, state=decode(kept))
    assert resumed.progress.epoch == stop_after
    finish(resumed)
    expected, found = whole.bare.state_dict(), resumed.bare.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for key in ("epoch", "lr", "loss", "clips", "macro_f1", "accuracy", "temperature"):
        assert [r[key] for r in resumed.progress.curve] == [r[key] for r in whole.progress.curve]


def test_a_finished_run_that_goes_on_does_nothing(examples: Examples, clip_store: ClipStore) -> None:
    made = finish(run(make_tiny_recipe(), 1, examples, clip_store))
    again = run(make_tiny_recipe(), 1, examples, clip_store, state=made.state())
    assert list(again.epochs()) == []
    assert again.progress.curve == made.progress.curve


def test_a_run_that_goes_on_asks_for_no_pretrained_weights(examples: Examples, clip_store: ClipStore) -> None:
    state = finish(run(make_tiny_recipe(), 1, examples, clip_store)).state()
    gone = make_tiny_recipe(weights={"source": "folder", "folder": "/nowhere"})
    assert len(list(run(gone, 2, examples, clip_store, state=state).epochs())) == 1


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
        Run(plan(recipe, 1), examples, None, clip_store, CPU, Team(Place(rank, 2))).bare.state_dict() for rank in (0, 1)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_plan_scales_its_global_batch_with_workers_and_accumulation() -> None:
    recipe = make_tiny_recipe(
        backbones=[{"name": "A", "timm": "test_convnext", "batch": [3, 5], "epochs": [1, 1]}],
        train={"accumulate": 2, "workers": 4},
    )
    plans = [make_plan(recipe, recipe.backbones[0], stage, 1, 4) for stage in (0, 1)]
    assert [(p.batch, p.global_batch) for p in plans] == [(3, 24), (5, 40)]


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


def test_validation_rows_are_judged_after_every_nth_epoch_and_the_last(
    examples: Examples, clip_store: ClipStore
) -> None:
    seldom = finish(run(make_tiny_recipe(tune={"judge_every": 2}), 5, examples, clip_store, examples))
    always = finish(run(make_tiny_recipe(), 5, examples, clip_store, examples))
    assert [row["epoch"] for row in seldom.progress.curve] == [1, 2, 3, 4, 5]
    judged = {row["epoch"]: row["macro_f1"] for row in seldom.progress.judged}
    assert judged == {row["epoch"]: row["macro_f1"] for row in always.progress.curve if row["epoch"] in (2, 4, 5)}


@pytest.mark.parametrize("with_neighbours", [True, False])
def test_judged_rows_are_held_against_known_clips_only_where_somebody_reads_it(
    examples: Examples, clip_store: ClipStore, with_neighbours: bool
) -> None:
    recipe = make_tiny_recipe(predict={"neighbours": 30}, tune={"unseen_generators": True})
    made = finish(run(recipe, 1, examples, clip_store, examples, with_neighbours=with_neighbours))
    assert made.held_out is not None and (made.held_out.unlikeness is not None) == with_neighbours


def test_an_epoch_is_described_in_one_line() -> None:
    spent = {"wait_s": 1.0, "compute_s": 2.5, "sync_s": 0.5, "seconds": 5.0}
    row = {"epoch": 2, "lr": 1e-4, "loss": 1.5, "clips": 100, **spent}
    assert describe("Net", row, 4) == (
        "Net epoch 2/4: loss 1.500, lr 1.00e-04, 25 clips/s, waited 1.0 s for data and 0.5 s for other workers "
        "of 5 s, 10 s left"
    )
    assert "macro F1 0.750" in describe("Net", {**row, "macro_f1": 0.75}, 4)


LEVERS = [
    {"ema_decay": 0.9},
    {"freeze_epochs": 1},
    {"fused": True},
    {"grad_checkpointing": True},
    {"precision": "bfloat16"},
    {"channels_last": False},
    {"ema_decay": 0.9, "freeze_epochs": 2, "fused": True},
]


@pytest.mark.parametrize("lever", LEVERS, ids=str)
def test_every_lever_goes_on_from_a_state_as_if_undisturbed(
    examples: Examples, clip_store: ClipStore, lever: dict[str, object]
) -> None:
    recipe = make_tiny_recipe("test_efficientnet", train={"lr_start": 1e-3, "lr_max": 5e-4, **lever})
    whole = finish(run(recipe, 3, examples, clip_store, examples))
    stopped = run(recipe, 3, examples, clip_store, examples)
    next(iter(stopped.epochs()))
    resumed = finish(run(recipe, 3, examples, clip_store, examples, state=decode(encode(stopped.state()))))
    expected, found = whole.judged.state_dict(), resumed.judged.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [r["macro_f1"] for r in whole.progress.curve] == [r["macro_f1"] for r in resumed.progress.curve]
    assert whole.progress.confusion == resumed.progress.confusion


def test_a_frozen_backbone_keeps_weights_and_statistics_until_it_learns_again(
    examples: Examples, clip_store: ClipStore
) -> None:
    recipe = make_tiny_recipe("test_efficientnet", train={"lr_start": 1e-3, "freeze_epochs": 1})
    made = run(recipe, 2, examples, clip_store)
    start = {name: tensor.clone() for name, tensor in made.bare.state_dict().items()}
    epochs = made.epochs()

    def moved() -> set[str]:
        now = made.bare.state_dict()
        return {name.partition(".")[0] for name in start if not torch.equal(start[name], now[name])}

    next(epochs)
    assert moved() == {"embed", "classify"}
    next(epochs)
    assert moved() == {"backbone", "embed", "classify"}


def test_the_moving_average_lags_behind_the_weights_and_is_what_is_judged(
    examples: Examples, clip_store: ClipStore
) -> None:
    recipe = make_tiny_recipe(train={"lr_start": 1e-3, "ema_decay": 0.99})
    made = run(recipe, 2, examples, clip_store, examples)
    start = made.bare.classify.weight.detach().clone()
    finish(made)
    assert made.judged is not made.bare
    gone = float((made.bare.classify.weight - start).norm())
    assert 0 < float((made.judged.classify.weight - start).norm()) < gone


def test_recomputed_activations_give_the_same_weights(examples: Examples, clip_store: ClipStore) -> None:
    plain, saving = (
        finish(run(make_tiny_recipe(train={"lr_start": 1e-3, "grad_checkpointing": on}), 1, examples, clip_store))
        for on in (False, True)
    )
    for name, tensor in plain.bare.state_dict().items():
        torch.testing.assert_close(saving.bare.state_dict()[name], tensor, atol=1e-6, rtol=0)


def test_the_confusion_is_that_of_the_best_epoch(examples: Examples, clip_store: ClipStore) -> None:
    made = finish(run(make_tiny_recipe(train={"lr_start": 1e-3}), 3, examples, clip_store, examples))
    counts = np.array(made.progress.confusion)
    assert counts.shape == (6, 6) and counts.sum(axis=1).tolist() == [2] * 6
    best = max(made.progress.curve, key=lambda row: row["macro_f1"])
    assert np.trace(counts) / 12 == pytest.approx(best["accuracy"])


def test_a_backbone_s_own_seed_stands_for_the_recipe_s(examples: Examples, clip_store: ClipStore) -> None:
    backbone = {"name": "Tiny", "timm": "test_convnext", "batch": [4, 4], "epochs": [1, 1]}
    own = make_tiny_recipe(backbones=[{**backbone, "seed": 7}])
    assert plan(own, 1).recipe.seed == 7 != own.seed
    ours, alike, other = (
        finish(run(recipe, 1, examples, clip_store)).bare.state_dict()
        for recipe in (own, make_tiny_recipe(seed=7), make_tiny_recipe())
    )
    assert all(value.equal(alike[name]) for name, value in ours.items())
    assert not ours["classify.weight"].equal(other["classify.weight"])
