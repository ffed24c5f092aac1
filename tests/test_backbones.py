"""The method's 11 networks: shapes, gradients, head, and a model folder that brings them back."""

import gc
import shutil
from pathlib import Path

import pytest
import torch

from synatt import model
from synatt.backbones import Attributor, create, parameter_counts
from synatt.recipe import Weights
from synatt.recipefile import load_recipe
from tests.conftest import CLASSES, make_tiny_recipe

# Parameters with the head of 64 units and 6 classes; the documentation states the same table.
PARAMETERS = {
    "efficientnet_b0.ra_in1k": 4_089_922,
    "resnet50d.ra2_in1k": 23_658_790,
    "resnetrs50.tf_in1k": 33_774_438,
    "resnest50d.in1k": 25_565_766,
    "regnetz_d8.ra3_in1k": 21_695_934,
    "tf_efficientnetv2_s.in21k": 20_259_862,
    "eca_nfnet_l2.ra3_in1k": 53_846_410,
    "convnext_base.fb_in22k": 87_632_454,
    "resnetrs152.tf_in1k": 84_704_102,
    "convnext_large.fb_in22k": 196_329_094,
    "tf_efficientnetv2_m.in21k": 52_940_730,
}
RECIPES = [load_recipe(part, [f"classes=[{', '.join(CLASSES)}]"]) for part in ("part1", "part2")]
BY_TIMM = {b.timm: recipe.model_copy(update={"backbones": (b,)}) for recipe in RECIPES for b in recipe.backbones}


def logmels(count: int = 2, bins: int = 64, frames: int = 96) -> torch.Tensor:
    """Log-mels in dB: -60 to 20."""
    return torch.rand(count, bins, frames, generator=torch.Generator().manual_seed(1)) * 80 - 60


@pytest.mark.parametrize("timm_name", BY_TIMM)
def test_a_backbone_trains_answers_and_comes_back_from_its_folder(tmp_path: Path, timm_name: str) -> None:
    recipe = BY_TIMM[timm_name]
    torch.manual_seed(0)
    net = create(recipe.backbones[0], recipe, Weights(source="random"))

    logits = net(logmels())
    assert logits.shape == (2, 6)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 5])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    net.zero_grad(set_to_none=True)

    with torch.inference_mode():
        net.eval()
        assert net.embedding(logmels()).shape == (2, 64)
        before = net(logmels())
        assert torch.isfinite(before).all()
        model.save_model(str(tmp_path), net, recipe, {}, [])
        del net
        gc.collect()
        after = model.load_model(str(tmp_path)).net(logmels())
    shutil.rmtree(tmp_path)
    assert torch.equal(before, after)


def test_parameter_counts_are_those_of_the_table() -> None:
    assert parameter_counts(RECIPES) == PARAMETERS


def test_counting_parameters_asks_for_no_weights_and_no_memory() -> None:
    recipe = RECIPES[1].model_copy(update={"weights": Weights(source="folder", folder="nowhere")})
    assert parameter_counts([recipe])["convnext_large.fb_in22k"] == PARAMETERS["convnext_large.fb_in22k"]


class Watcher(torch.nn.Module):
    """A backbone that keeps what it was shown."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen = image
        return image.mean(dim=(2, 3))


def test_the_backbone_sees_the_log_mel_three_times_without_mean_and_deviation() -> None:
    watcher = Watcher()
    x = logmels(4)
    Attributor(watcher, 3, 64, 6)(x)
    assert watcher.seen.shape == (4, 3, 64, 96)
    for channel in range(3):
        assert torch.equal(watcher.seen[:, channel], x)


def test_the_head_is_dense_selu_dense_from_glorot_weights() -> None:
    torch.manual_seed(0)
    net = Attributor(Watcher(), 3, 64, 6)
    x = logmels(4)
    hidden = torch.nn.functional.selu(x.mean(dim=(1, 2))[:, None].expand(4, 3) @ net.embed[0].weight.T)
    torch.testing.assert_close(net.embedding(x), hidden)
    torch.testing.assert_close(net(x), hidden @ net.classify.weight.T)
    limit = (6 / (64 + 6)) ** 0.5
    assert 0.9 * limit < float(net.classify.weight.detach().abs().max()) <= limit
    assert float(net.classify.bias.detach().abs().max()) == 0


@pytest.mark.parametrize("bins, frames", [(64, 192), (128, 384), (50, 70)])
def test_a_network_takes_any_size_of_log_mel(bins: int, frames: int) -> None:
    recipe = make_tiny_recipe("test_efficientnet")
    net = create(recipe.backbones[0], recipe).eval()
    assert net(logmels(2, bins, frames)).shape == (2, 6)


def test_head_and_classes_follow_the_recipe() -> None:
    recipe = make_tiny_recipe(head_units=17, classes=["x", "y", "unknown"])
    net = create(recipe.backbones[0], recipe)
    assert net.embedding(logmels()).shape == (2, 17)
    assert net(logmels()).shape == (2, 3)
