"""The learning rate of every epoch of the method's 13 trainings, against the method's formula."""

import pytest

from synatt.recipe import Train
from synatt.recipefile import load_recipe
from synatt.schedule import learning_rate

# part -> (lr_max for each clip of the global batch, lr_min)
RATES = {"part1": (1.15e-6, 0.95e-6), "part2": (1.05e-6, 0.85e-6)}
RUNS = [(part, backbone.name, stage) for part in RATES for backbone in load_recipe(part).backbones for stage in (0, 1)]


def expected(part: str, global_batch: int, epoch: int) -> float:
    per_clip, low = RATES[part]
    high = per_clip * global_batch
    if epoch < 5:
        return 5e-6 + epoch * (high - 5e-6) / 5
    return (high - low) * 0.8 ** (epoch - 5) + low


@pytest.mark.parametrize(("part", "name", "stage"), RUNS)
def test_the_learning_rate_follows_the_method_in_every_epoch(part: str, name: str, stage: int) -> None:
    recipe = load_recipe(part)
    backbone = recipe.backbone(name)
    global_batch = 8 * backbone.batch[stage]
    found = [learning_rate(epoch, global_batch, recipe.train) for epoch in range(backbone.epochs[stage])]
    print(part, name, f"stage {stage + 1}:", " ".join(f"{rate:.3e}" for rate in found))
    assert found == pytest.approx([expected(part, global_batch, e) for e in range(len(found))], rel=1e-12)


@pytest.mark.parametrize(("part", "global_batch"), [("part1", 512), ("part1", 256), ("part2", 256), ("part2", 128)])
def test_it_starts_at_5e_6_peaks_after_5_epochs_and_falls_by_a_fifth(part: str, global_batch: int) -> None:
    train = load_recipe(part).train
    per_clip, low = RATES[part]
    assert learning_rate(0, global_batch, train) == 5e-6
    assert learning_rate(5, global_batch, train) == pytest.approx(per_clip * global_batch, rel=1e-12)
    assert learning_rate(6, global_batch, train) == pytest.approx(
        (per_clip * global_batch - low) * 0.8 + low, rel=1e-12
    )


def test_the_floor_is_not_scaled_by_the_batch() -> None:
    train = load_recipe("part1").train
    assert learning_rate(500, 512, train) == learning_rate(500, 64, train) == pytest.approx(0.95e-6, rel=1e-12)


def test_the_rise_is_linear_and_the_fall_has_no_step() -> None:
    train = load_recipe("part1").train
    rates = [learning_rate(epoch, 512, train) for epoch in range(12)]
    rises = [b - a for a, b in zip(rates[:5], rates[1:6], strict=True)]
    assert rises == pytest.approx([rises[0]] * 5, rel=1e-9)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_without_warm_up_the_first_epoch_has_the_peak() -> None:
    assert learning_rate(0, 10, Train(warmup_epochs=0, lr_max=1e-3)) == pytest.approx(1e-2)
