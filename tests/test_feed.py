"""Who trains on what: every row once an epoch, equal steps for all workers, draws fixed by seed, epoch and row."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt import manifest
from synatt.background import prefetched
from synatt.clip import standardise
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.feed import (
    Batch,
    Examples,
    Place,
    Stopwatch,
    epoch_order,
    step_rows,
    train_batches,
    training_clip,
    training_materials,
)
from synatt.perturb import Materials
from synatt.recipe import Recipe
from synatt.takes import store_takes, training_key, wanted_takes
from tests.conftest import make_tiny_recipe

ROWS, BATCH, ACCUMULATE, WORLD = st.integers(1, 60), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4)


def shares(rows: int, batch: int, accumulate: int, world: int) -> list[list[tuple[int, int, bool, np.ndarray, int]]]:
    order = epoch_order(rows, 42, 0)
    whole = batch * accumulate * world
    return [list(step_rows(order, batch, whole, Place(rank, world))) for rank in range(world)]


@given(ROWS, BATCH, ACCUMULATE, WORLD)
def test_every_row_is_seen_exactly_once_an_epoch(rows: int, batch: int, accumulate: int, world: int) -> None:
    seen = [row for rank in shares(rows, batch, accumulate, world) for *_, mine, _ in rank for row in mine]
    assert sorted(seen) == list(range(rows))


@given(ROWS, BATCH, ACCUMULATE, WORLD)
def test_all_workers_make_the_same_micro_batches_and_steps(rows: int, batch: int, accumulate: int, world: int) -> None:
    plans = [[(step, micro, last) for step, micro, last, _, _ in r] for r in shares(rows, batch, accumulate, world)]
    assert all(plan == plans[0] for plan in plans)
    steps = math.ceil(rows / (batch * accumulate * world))
    assert [step for step, _, last in plans[0] if last] == list(range(steps))
    assert max(micro for _, micro, _ in plans[0]) < accumulate


@given(ROWS, BATCH, ACCUMULATE, WORLD)
def test_micro_batches_are_full_but_in_the_last_step(rows: int, batch: int, accumulate: int, world: int) -> None:
    steps = math.ceil(rows / (batch * accumulate * world))
    for rank in shares(rows, batch, accumulate, world):
        for step, _, _, mine, whole in rank:
            assert len(mine) <= batch
            if step < steps - 1:
                assert len(mine) == batch
                assert whole == batch * accumulate * world


@given(ROWS, BATCH, st.integers(1, 20), WORLD, WORLD)
def test_a_steps_rows_are_the_same_whatever_the_number_of_workers(
    rows: int, batch: int, whole: int, one: int, other: int
) -> None:
    order = epoch_order(rows, 42, 0)

    def steps(world: int) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for rank in range(world):
            for step, _, _, mine, _ in step_rows(order, batch, whole, Place(rank, world)):
                assert len(mine) <= batch
                found.setdefault(step, set()).update(mine.tolist())
        return found

    assert steps(one) == steps(other)
    assert all(len(found) == whole for step, found in steps(one).items() if step < rows // whole)


@pytest.mark.parametrize("whole", [16, 64])
def test_the_labels_of_a_batch_are_mixed_as_those_of_a_random_draw(whole: int) -> None:
    """Rows stand class by class in a manifest; batches must not."""
    labels = np.repeat(np.arange(5), 400)
    shares = np.array(
        [
            np.bincount(labels[rows], minlength=5) / whole
            for epoch in range(20)
            for *_, rows, count in step_rows(epoch_order(2000, 1, epoch), whole, whole, Place())
            if count == whole
        ]
    )
    np.testing.assert_allclose(shares.mean(axis=0), 0.2, atol=0.01)
    # The variance of a draw without replacement (hypergeometric).
    wanted = 0.2 * 0.8 / whole * (2000 - whole) / 1999
    np.testing.assert_allclose(shares.var(axis=0), wanted, rtol=0.25)


@given(ROWS, st.integers(0, 5), st.integers(0, 5))
def test_the_order_is_a_permutation_fixed_by_seed_and_epoch(rows: int, seed: int, epoch: int) -> None:
    order = epoch_order(rows, seed, epoch)
    assert sorted(order) == list(range(rows))
    assert np.array_equal(order, epoch_order(rows, seed, epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    target = np.random.default_rng(0).dirichlet(np.ones(6), len(clip_tracks)).astype(np.float32)
    return Examples(clip_tracks, target)


def one_epoch(
    examples: Examples,
    store: ClipStore,
    recipe: Recipe,
    epoch: int = 0,
    batch: int = 2,
    accumulate: int = 1,
    world: int = 1,
) -> list[list[Batch]]:
    places = [Place(rank, world) for rank in range(world)]
    whole = batch * accumulate * world
    return [list(train_batches(examples, store, recipe, epoch, batch, whole, place)) for place in places]


def by_label(ranks: list[list[Batch]]) -> dict[bytes, torch.Tensor]:
    """Label row -> its clip, fillers left out."""
    batches = [b for rank in ranks for b in rank]
    rows = [
        (t.numpy().tobytes(), w)
        for b in batches
        for t, w, s in zip(b.target_BC, b.wave_BS, b.weight_B, strict=True)
        if s
    ]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize(("batch", "accumulate"), [(2, 1), (5, 1), (1, 3)])
def test_the_weights_of_a_global_batch_sum_to_one_and_fillers_weigh_nothing(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe, world: int, batch: int, accumulate: int
) -> None:
    some = Examples(examples.tracks[:11], examples.target[:11])
    ranks = one_epoch(some, clip_store, tiny_recipe, 0, batch, accumulate, world)
    assert len({len(rank) for rank in ranks}) == 1
    total: dict[int, float] = {}
    for item in (b for rank in ranks for b in rank):
        total[item.step] = total.get(item.step, 0.0) + float(item.weight_B.sum())
        assert len(item.wave_BS) == len(item.target_BC) == len(item.weight_B) > 0
        assert item.wave_BS.shape[1] == tiny_recipe.clip_samples
    assert list(total.values()) == pytest.approx([1.0] * len(total), abs=1e-6)
    assert len(by_label(ranks)) == 11


def test_a_worker_without_a_row_gets_a_filler_that_weighs_nothing(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe
) -> None:
    some = Examples(examples.tracks[:5], examples.target[:5])
    last = [rank[-1] for rank in one_epoch(some, clip_store, tiny_recipe, batch=1, world=4)]
    assert [b.weight_B.tolist() for b in last] == [[1.0], [0.0], [0.0], [0.0]]


@pytest.mark.parametrize("world", [2, 3, 4])
def test_a_clip_is_cropped_alike_whatever_the_number_of_workers(
    examples: Examples, clip_store: ClipStore, world: int
) -> None:
    recipe = make_tiny_recipe(clip={"seconds": 0.5, "pad": "random"})
    alone = by_label(one_epoch(examples, clip_store, recipe))
    together = by_label(one_epoch(examples, clip_store, recipe, world=world))
    assert alone.keys() == together.keys()
    assert all(torch.equal(alone[key], together[key]) for key in alone)
    later = by_label(one_epoch(examples, clip_store, recipe, epoch=1))
    assert sum(torch.equal(alone[key], later[key]) for key in alone) < 3


def test_with_consistency_the_second_half_of_a_batch_are_the_same_clips_drawn_anew(
    examples: Examples, clip_store: ClipStore
) -> None:
    cut = {"clip": {"seconds": 0.5, "pad": "random"}, "augment": {"mixup_p": 0, "cutmix_p": 0}}
    one = one_epoch(examples, clip_store, make_tiny_recipe(**cut), batch=3)[0]
    two = one_epoch(examples, clip_store, make_tiny_recipe(**cut, train={"consistency": 1.0}), batch=3)[0]
    different = 0
    for single, double in zip(one, two, strict=True):
        first, second = double.wave_BS.chunk(2)
        assert torch.equal(first, single.wave_BS)
        different += sum(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert torch.equal(double.target_BC, single.target_BC.repeat(2, 1))
        torch.testing.assert_close(double.weight_B, single.weight_B.repeat(2) / 2)
    assert different > len(examples) / 2


def test_balanced_classes_weigh_alike_over_an_epoch(clip_tracks: tuple[str, ...], clip_store: ClipStore) -> None:
    label = np.array([0] * (len(clip_tracks) - 2) + [1, 2])
    rows = Examples(clip_tracks, np.eye(6, dtype=np.float32)[label])
    recipe = make_tiny_recipe(train={"balance_classes": True})
    weight = np.zeros(6)
    for item in one_epoch(rows, clip_store, recipe, batch=1)[0]:
        weight += (item.target_BC * item.weight_B[:, None]).sum(dim=0).numpy()
    np.testing.assert_allclose(weight, [len(rows) / 3] * 3 + [0] * 3, rtol=1e-5)


def test_clips_are_standardised_before_they_are_cut(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe
) -> None:
    # Clips of 1 s fit the recipe exactly.
    for wave in by_label(one_epoch(examples, clip_store, tiny_recipe)).values():
        assert abs(float(wave.mean())) < 1e-4
        assert float(wave.std(unbiased=False)) == pytest.approx(1, abs=1e-4)


def with_takes(folder: Path, paths: list[str], tracks: tuple[str, ...], recipe: Recipe) -> ClipStore:
    made = [{"track": t, "path": p, "label": 0, "split": "train"} for t, p in zip(tracks, paths, strict=True)]
    (shard,) = plan_shards(tracks, paths)
    name = store_shard(str(folder), shard, 60.0)
    takes = wanted_takes(manifest.build(made, recipe.require_classes()), recipe, judged=False)
    return ClipStore(str(folder), [name, *store_takes(str(folder), name, shard, takes)])


def test_perturbed_clips_are_takes_of_the_store_and_all_are_drawn(
    tmp_path: Path, clip_paths: list[str], clip_tracks: tuple[str, ...]
) -> None:
    settings = {"perturb_p": 0.5, "perturb_takes": 3, "perturb_kinds": ["gain", "band"], "perturb_levels": ["strong"]}
    recipe = make_tiny_recipe(augment=settings)
    store = with_takes(tmp_path, clip_paths, clip_tracks, recipe)
    names = ["t05", *(training_key(recipe.augment, "t05", k) for k in range(3))]
    # Clips of 1 s fit the recipe exactly.
    there = {standardise(store.wave(name)).tobytes(): name for name in names}
    assert len(there) == 4
    drawn = [there[training_clip(store, "t05", recipe, epoch, 5, Materials()).tobytes()] for epoch in range(120)]
    assert drawn.count("t05") == pytest.approx(60, abs=20)
    assert all(drawn.count(name) == pytest.approx(20, abs=12) for name in names[1:])
    again = training_clip(store, "t05", recipe, 7, 5, Materials())
    assert there[again.tobytes()] == drawn[7]


def test_a_store_without_the_takes_is_an_error_not_a_clean_clip(clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe(augment={"perturb_p": 1.0, "perturb_takes": 2})
    with pytest.raises(KeyError, match="t05"):
        training_clip(clip_store, "t05", recipe, 0, 5, Materials())


def test_without_takes_clips_are_perturbed_anew_and_standardised_by_themselves(clip_store: ClipStore) -> None:
    recipe = make_tiny_recipe(augment={"perturb_p": 1.0, "perturb_kinds": ["gain", "band"]})
    clips = [training_clip(clip_store, "t05", recipe, epoch, 5, Materials()) for epoch in range(4)]
    assert len({clip.tobytes() for clip in clips}) == 4
    for clip in clips:
        assert abs(float(clip.mean())) < 1e-4 and float(clip.std()) == pytest.approx(1, abs=1e-3)


def test_babble_is_only_looked_for_where_clips_are_perturbed_anew(clip_store: ClipStore) -> None:
    for settings, speech in (
        ({"perturb_p": 0.5}, ("a", "b")),
        ({"perturb_p": 0.5, "babble": False}, ()),
        ({"perturb_p": 0.5, "perturb_kinds": ["codec"]}, ()),
        ({"perturb_p": 0.5, "perturb_takes": 1}, ()),
        ({}, ()),
    ):
        assert training_materials(make_tiny_recipe(augment=settings), ("a", "b"), clip_store).speech == speech


def test_an_error_in_the_thread_comes_out_where_the_batch_was_asked_for() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("t99")

    found = prefetched(broken())  # type: ignore[arg-type]
    assert next(found) == 1  # type: ignore[comparison-overlap]
    with pytest.raises(KeyError, match="t99"):
        next(found)


def test_a_track_that_is_not_in_the_store_is_an_error(clip_store: ClipStore, tiny_recipe: Recipe) -> None:
    gone = Examples(("nobody",), np.ones((1, 6), np.float32) / 6)
    with pytest.raises(KeyError, match="nobody"):
        one_epoch(gone, clip_store, tiny_recipe)


def test_a_reader_that_stops_early_ends_the_thread() -> None:
    before = threading.active_count()
    made: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            made.append(1)
            yield 1

    found = prefetched(endless())  # type: ignore[arg-type]
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(made) < 10


def test_batches_come_in_order() -> None:
    assert list(prefetched(iter(range(100)))) == list(range(100))  # type: ignore[arg-type,comparison-overlap]


def test_the_stopwatch_passes_everything_on_and_counts_time() -> None:
    watch = Stopwatch()
    assert list(watch.iterate(iter([1, 2, 3]))) == [1, 2, 3]  # type: ignore[arg-type,comparison-overlap]
    assert watch.waited_s > 0
