"""One training step: the gradient of the mean over the global batch, however it is cut up."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from synatt import backbones, step
from synatt.augment.batch import augment_batch
from synatt.augment.spectrogram import augment_spectrogram
from synatt.augment.waveform import augment_waveform
from synatt.clipstore import ClipStore
from synatt.feed import Examples, Place, epoch_order, step_rows, train_batches
from synatt.logmel import logmel_batch
from synatt.precision import Precision, choose_precision
from synatt.recipe import Recipe, Train
from synatt.step import TrainingError, augmented, micro_step, train_epoch
from tests.conftest import make_tiny_recipe

CPU = torch.device("cpu")
EXACT = Precision(CPU, None)
ROWS = 11


@pytest.fixture(scope="module")
def net() -> nn.Module:
    recipe = make_tiny_recipe("test_convnext")
    torch.manual_seed(0)
    # Layer norm: batch statistics would depend on the cut. Float64: sums in another order agree to 1e-10.
    return backbones.create(recipe.backbones[0], recipe).double()


@pytest.fixture(scope="module")
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, 32, 32, generator=generator, dtype=torch.float64)
    return x, torch.softmax(torch.randn(ROWS, 6, generator=generator, dtype=torch.float64), dim=1)


def gradient(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])  # type: ignore[union-attr]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_micro_batches_and_workers_give_the_gradient_of_the_whole_batch(
    net: nn.Module, clips: tuple[torch.Tensor, torch.Tensor], world: int, accumulate: int
) -> None:
    x, target = clips
    whole = copy.deepcopy(net)
    logits = whole(x)
    smooth = target * 0.95 + 0.05 / 6
    truth = -(smooth * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
    truth.backward()

    order = epoch_order(ROWS, 0, 0)
    # As few clips a micro-batch as make one step of all rows; the last ones are smaller, or empty.
    batch = -(-ROWS // (world * accumulate))
    workers, losses = [copy.deepcopy(net) for _ in range(world)], 0.0
    for rank, worker in enumerate(workers):
        for at, _, _, rows, count in step_rows(order, batch, ROWS, Place(rank, world)):
            assert at == 0
            weight = torch.full((len(rows),), 1 / count, dtype=torch.float64)
            if not len(rows):
                rows, weight = order[:1], torch.zeros(1, dtype=torch.float64)
            losses += float(micro_step(worker, x[rows], target[rows], weight, Train(), world, EXACT))
    mean = torch.stack([gradient(worker) for worker in workers]).mean(dim=0)
    assert losses == pytest.approx(truth.item(), abs=1e-10)
    torch.testing.assert_close(mean, gradient(whole), atol=1e-10, rtol=0)
    assert float(gradient(whole).abs().max()) > 1e-3


def test_two_views_add_how_far_their_answers_are_apart(
    net: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, target = clips[0][:8], clips[1][:4].repeat(2, 1)
    weight = torch.full((8,), 1 / 8, dtype=torch.float64)
    apart, alike, off = (copy.deepcopy(net) for _ in range(3))
    with torch.no_grad():
        log_p = torch.log_softmax(net(x), dim=1)
    divergence = ((log_p[:4].exp() - log_p[4:].exp()) * (log_p[:4] - log_p[4:])).sum(dim=1) / 2
    assert float(divergence.min()) > 0
    plain = float(micro_step(off, x, target, weight, Train(), 1, EXACT))
    found = float(micro_step(apart, x, target, weight, Train(consistency=2.0), 1, EXACT))
    assert found - plain == pytest.approx(2.0 * float(divergence.mean()), abs=1e-12)
    assert not torch.allclose(gradient(apart), gradient(off), atol=1e-6)
    same = x[:4].repeat(2, 1, 1)
    assert float(micro_step(alike, same, target, weight, Train(consistency=2.0), 1, EXACT)) == pytest.approx(
        float(micro_step(copy.deepcopy(net), same, target, weight, Train(), 1, EXACT)), abs=1e-12
    )


def test_a_filler_adds_nothing(net: nn.Module, clips: tuple[torch.Tensor, torch.Tensor]) -> None:
    fresh = copy.deepcopy(net)
    loss = micro_step(fresh, clips[0][:1], clips[1][:1], torch.zeros(1, dtype=torch.float64), Train(), 4, EXACT)
    assert float(loss) == 0
    assert float(gradient(fresh).abs().max()) == 0


def test_augmentation_runs_in_the_methods_order(monkeypatch: pytest.MonkeyPatch, tiny_recipe: Recipe) -> None:
    called: list[str] = []

    def watched(name: str, real: object) -> None:
        monkeypatch.setattr(step, name, lambda *a: (called.append(name), real(*a))[1])  # type: ignore[operator]

    watched("augment_waveform", augment_waveform)
    watched("logmel_batch", logmel_batch)
    watched("augment_spectrogram", augment_spectrogram)
    watched("augment_batch", augment_batch)
    wave = torch.randn(4, 16_000)
    logmel, target = augmented(wave, torch.eye(6)[:4], tiny_recipe, np.random.default_rng(0))
    assert called == ["augment_waveform", "logmel_batch", "augment_spectrogram", "augment_batch"]
    assert logmel.shape == (4, 32, 64)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(4))


def test_without_augmentation_training_sees_the_plain_log_mel() -> None:
    recipe = make_tiny_recipe(augment={"group_p": 0, "mixup_p": 0, "cutmix_p": 0})
    wave = torch.randn(3, 16_000)
    logmel, target = augmented(wave, torch.eye(6)[:3], recipe, np.random.default_rng(0))
    assert torch.equal(logmel, logmel_batch(wave, recipe.logmel))
    assert torch.equal(target, torch.eye(6)[:3])


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    return Examples(clip_tracks, np.eye(6, dtype=np.float32)[[i % 6 for i in range(12)]])


def epoch_with(
    examples: Examples, store: ClipStore, recipe: Recipe, rate: float, epoch: int = 0
) -> tuple[nn.Module, step.EpochStats]:
    torch.manual_seed(0)
    net = backbones.create(recipe.backbones[0], recipe)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    batches = train_batches(examples, store, recipe, epoch, 4, 4, Place())
    return net, train_epoch(net, optimizer, batches, recipe, epoch, Place(), EXACT)


def test_an_epoch_counts_its_clips_and_moves_every_tensor(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe
) -> None:
    before, _ = epoch_with(examples, clip_store, tiny_recipe, 0.0)
    after, stats = epoch_with(examples, clip_store, tiny_recipe, 1e-3)
    assert stats.clips == 12
    assert 1 < stats.loss < 4
    assert stats.wait_s > 0
    assert stats.compute_s > 0
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_the_same_epoch_twice_gives_the_same_weights(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe
) -> None:
    one, again = (epoch_with(examples, clip_store, tiny_recipe, 1e-3)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_a_loss_that_is_not_finite_names_epoch_and_learning_rate(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe
) -> None:
    said = r"epoch 8, step \d \(learning rate 1e\+30\): the weights have grown out of range.*lower train\.lr_max"
    with pytest.raises(TrainingError, match=said):
        epoch_with(examples, clip_store, tiny_recipe, 1e30, epoch=7)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("clip", "the input of the network is not finite"),
        ("weight", r"the weights have grown out of range \(classify.bias\)"),
        ("loss", "lower train.lr_max, or give --set train.precision=float32"),
    ],
)
def test_the_cause_of_a_loss_that_is_not_finite_is_named_at_once(
    examples: Examples, clip_store: ClipStore, tiny_recipe: Recipe, harm: str, said: str
) -> None:
    net = backbones.create(tiny_recipe.backbones[0], tiny_recipe)
    batches = list(train_batches(examples, clip_store, tiny_recipe, 0, 4, 4, Place()))
    if harm == "clip":
        batches[0].wave_BS[1, 7] = torch.inf
    elif harm == "weight":
        net.classify.bias.data[2] = torch.nan
    else:
        batches[0].weight_B[0] = torch.inf
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    with pytest.raises(TrainingError, match=f"epoch 1, step 1 .*{said}"):
        train_epoch(net, optimizer, iter(batches), tiny_recipe, 0, Place(), EXACT)


@pytest.mark.parametrize(
    ("wanted", "dtype"), [("auto", None), ("float32", None), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_precision_on_a_cpu_is_float32_unless_asked_for(wanted: str, dtype: "torch.dtype | None") -> None:
    assert choose_precision(wanted, CPU) == Precision(CPU, dtype)


def test_bfloat16_gives_nearly_the_same_gradient(clips: tuple[torch.Tensor, torch.Tensor], net: nn.Module) -> None:
    x, target = clips[0].float(), clips[1].float()
    weight = torch.full((ROWS,), 1 / ROWS)
    exact, rough = copy.deepcopy(net).float(), copy.deepcopy(net).float()
    micro_step(exact, x, target, weight, Train(), 1, EXACT)
    micro_step(rough, x, target, weight, Train(), 1, Precision(CPU, torch.bfloat16))
    assert float(torch.cosine_similarity(gradient(exact), gradient(rough), dim=0)) > 0.99
