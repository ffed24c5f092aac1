"""Heat maps: every network of the recipes, where a taught cue lies, and that they depend on what was learned."""

import numpy as np
import pytest
import torch
from torch import nn

from synatt.backbones import Attributor, create
from synatt.explain import MIN_CELLS, deepest_with_cells, heat_map, stage_names
from synatt.recipe import Weights
from synatt.recipefile import load_recipe
from tests.conftest import CLASSES, make_tiny_recipe

RECIPES = [
    load_recipe(name, [f"classes=[{', '.join(CLASSES)}]", "weights.source=random"])
    for name in ("part1", "part2", "quickstart")
]
BY_TIMM = {b.timm: recipe.model_copy(update={"backbones": (b,)}) for recipe in RECIPES for b in recipe.backbones}


def noise(count: int, bins: int, frames: int, seed: int = 0) -> torch.Tensor:
    """Log-mels of noise in dB around -50."""
    return -50 + 5 * torch.randn(count, bins, frames, generator=torch.Generator().manual_seed(seed))


# Of these a smaller one of the same family is looked at each time.
LARGE = ("resnetrs152.tf_in1k", "convnext_large.fb_in22k", "tf_efficientnetv2_m.in21k")


@pytest.mark.parametrize(
    "timm_name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in BY_TIMM]
)
def test_every_backbone_of_the_recipes_gives_a_map_between_0_and_1(timm_name: str) -> None:
    recipe = BY_TIMM[timm_name]
    torch.manual_seed(0)
    net = create(recipe.backbones[0], recipe, Weights(source="random")).eval()
    maps = heat_map(net, noise(2, 64, 96), torch.tensor([0, 5]))
    assert maps.shape == (2, 64, 96)
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()
    assert maps.min() >= 0
    assert all(float(highest) in (0.0, 1.0) for highest in maps.amax(dim=(1, 2)))
    assert all(p.grad is None for p in net.parameters())


Bursts = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def bursts(count: int, seed: int) -> Bursts:
    """Noise ``[B, 32, 192]`` with a burst of 24 frames in its low bins; every other clip has one in its high bins too.

    Returns:
        the clips, and the first frames ``[B]`` of the high burst, the cue, and of the low one, which says nothing. They
        lie in different halves of the clip.
    """
    generator = torch.Generator().manual_seed(seed)
    x, half = noise(count, 32, 192, seed), torch.randint(0, 2, (count,), generator=generator)
    cue = torch.randint(0, 73, (count,), generator=generator) + 96 * half
    decoy = torch.randint(0, 73, (count,), generator=generator) + 96 * (1 - half)
    for i in range(count):
        x[i, :16, decoy[i] : decoy[i] + 24] += 40
        if i % 2 == 0:
            x[i, 16:, cue[i] : cue[i] + 24] += 40
    return x, cue, decoy


def cued(seed: int) -> Bursts:
    """16 clips that all have the cue."""
    x, cue, decoy = bursts(32, seed)
    return x[::2], cue[::2], decoy[::2]


CUED = torch.ones(16, dtype=torch.int64)


@pytest.fixture(scope="module")
def taught() -> Attributor:
    """A small network that tells clips with the cue (class 1) from clips without (class 0)."""
    torch.manual_seed(0)
    recipe = make_tiny_recipe("test_efficientnet", classes=["without", "cue"])
    net = create(recipe.backbones[0], recipe)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    label = torch.tensor([1, 0] * 16)
    for step in range(60):
        loss = nn.functional.cross_entropy(net(bursts(32, 100 + step)[0]), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def share_near(maps: torch.Tensor, start: torch.Tensor) -> float:
    """Mean share of the heat that lies in the 24 frames from `start` on and 12 around them: a quarter of a clip."""
    shares = []
    for one, at in zip(maps, start.tolist(), strict=True):
        near = one[:, max(0, at - 12) : at + 36].sum()
        shares.append(float(near / one.sum().clamp_min(1e-9)))
    return float(np.mean(shares))


def test_the_map_lies_where_the_network_was_taught_to_look(taught: Attributor) -> None:
    x, cue, decoy = cued(seed=1)
    assert (taught(x).argmax(1) == 1).all()
    maps = heat_map(taught, x, CUED)
    assert share_near(maps, cue) > 0.55
    assert share_near(maps, decoy) < 0.35


def test_the_map_is_lost_with_the_weights(taught: Attributor) -> None:
    """The randomisation check of Adebayo et al. (NeurIPS 2018): a map that outlives the weights shows the input."""
    x, cue, _ = cued(seed=1)
    learned = heat_map(taught, x, CUED)
    torch.manual_seed(8)
    recipe = make_tiny_recipe("test_efficientnet", classes=["without", "cue"])
    random = heat_map(create(recipe.backbones[0], recipe).eval(), x, CUED)
    assert random.any()
    likeness = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(learned, random, strict=True) if b.any()]
    assert np.mean(np.abs(likeness)) < 0.4
    assert share_near(random, cue) < share_near(learned, cue) - 0.2


def test_the_maps_of_two_classes_differ(taught: Attributor) -> None:
    x = cued(seed=3)[0][:1].expand(2, -1, -1)
    without, cue = heat_map(taught, x, torch.tensor([0, 1]))
    assert (without - cue).abs().max() > 0.5


def test_clips_of_a_batch_do_not_mix(taught: Attributor) -> None:
    x = bursts(6, seed=4)[0]
    classes = torch.tensor([1, 0, 1, 1, 0, 0])
    together = heat_map(taught, x, classes)
    for i in range(6):
        torch.testing.assert_close(
            heat_map(taught, x[i : i + 1], classes[i : i + 1])[0], together[i], atol=1e-3, rtol=0
        )


def test_it_works_where_gradients_are_off_and_weights_frozen(taught: Attributor) -> None:
    x = bursts(2, seed=5)[0]
    want = heat_map(taught, x, torch.tensor([1, 1]))
    for p in taught.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(heat_map(taught, x, torch.tensor([1, 1])), want)
    assert not any(m._forward_hooks for m in taught.modules())


def test_a_network_that_ignores_its_input_gives_zeros() -> None:
    recipe = make_tiny_recipe()
    net = create(recipe.backbones[0], recipe).eval()
    nn.init.zeros_(net.classify.weight)
    assert not heat_map(net, noise(1, 32, 64), torch.tensor([0])).any()


def test_the_deepest_stage_that_can_point_somewhere_is_taken() -> None:
    fine, enough, coarse = (torch.zeros(1, 1, *size) for size in ((8, 24), (4, 12), (2, 6)))
    assert deepest_with_cells([fine, enough, coarse]) is enough
    assert deepest_with_cells([coarse, torch.zeros(1, 1, 1, 3)]) is coarse
    assert 2 * 6 < MIN_CELLS <= 4 * 12


def test_stages_are_named_from_the_first_to_the_last() -> None:
    recipe = make_tiny_recipe()
    net = create(recipe.backbones[0], recipe)
    assert stage_names(net.backbone) == [f"stages.{i}" for i in range(4)]
