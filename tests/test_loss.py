"""Cross-entropy against hard, soft and smoothed labels."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy
from torchvision.ops import sigmoid_focal_loss

from synatt.loss import class_weights, disagreement, soft_cross_entropy


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.parametrize("smoothing", [0.0, 0.05, 0.5])
def test_it_equals_torchs_for_one_hot_labels(logits: torch.Tensor, smoothing: float) -> None:
    label = torch.tensor([0, 1, 2, 3, 4, 5, 0])
    found = soft_cross_entropy(logits, torch.eye(6)[label], smoothing)
    assert found.shape == (7,)
    torch.testing.assert_close(found, cross_entropy(logits, label, label_smoothing=smoothing, reduction="none"))


def test_it_equals_torchs_for_soft_labels(logits: torch.Tensor) -> None:
    target = torch.softmax(logits.flip(0), dim=1)
    found = soft_cross_entropy(logits, target, 0.05)
    torch.testing.assert_close(found, cross_entropy(logits, target, label_smoothing=0.05, reduction="none"))


def test_the_loss_is_least_where_the_softmax_is_the_smoothed_label() -> None:
    target = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    logits = (target * 0.95 + 0.05 / 6).log().requires_grad_()
    soft_cross_entropy(logits, target, 0.05).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 6), atol=1e-6, rtol=0)


def test_half_precision_logits_are_widened_and_float64_is_kept(logits: torch.Tensor) -> None:
    target = torch.softmax(logits, dim=1)
    for given, want in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert soft_cross_entropy(logits.to(given), target.to(want)).dtype == want


def test_logits_far_apart_give_a_finite_loss() -> None:
    found = soft_cross_entropy(torch.tensor([[1000.0, -1000.0]]), torch.tensor([[0.0, 1.0]]), 0.05)
    assert torch.isfinite(found).all()


def test_the_focal_loss_is_torchvisions_where_each_class_is_a_question_of_its_own() -> None:
    # Of two classes the softmax is the logistic function of their difference.
    margin = torch.linspace(-4, 4, 9)
    logits, target = torch.stack([margin, torch.zeros(9)], 1), torch.eye(2)[torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0])]
    wanted = sigmoid_focal_loss(margin, target[:, 0], alpha=-1, gamma=2.0)
    torch.testing.assert_close(soft_cross_entropy(logits, target, focus=2.0), wanted)


def test_clips_the_network_is_sure_of_count_less_in_the_focal_loss(logits: torch.Tensor) -> None:
    target = torch.eye(6)[logits.argmax(dim=1)]
    plain, focal = soft_cross_entropy(logits, target), soft_cross_entropy(logits, target, focus=2.0)
    sure = torch.softmax(logits, 1).amax(dim=1)
    torch.testing.assert_close(focal / plain, (1 - sure) ** 2, rtol=1e-4, atol=1e-6)


def test_the_focal_loss_has_finite_gradients_where_the_network_is_certain() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    soft_cross_entropy(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.05, 2.0).sum().backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_disagreement_is_half_of_both_divergences_and_none_between_equals(logits: torch.Tensor) -> None:
    other = logits.flip(0) + 1.0
    one, two = torch.softmax(logits, 1), torch.softmax(other, 1)
    wanted = ((one * (one / two).log()).sum(1) + (two * (two / one).log()).sum(1)) / 2
    torch.testing.assert_close(disagreement(logits, other), wanted)
    torch.testing.assert_close(disagreement(other, logits), wanted)
    # A constant over all classes changes no probability.
    assert float(disagreement(logits, logits + 3.0).abs().max()) < 1e-6


def test_balanced_classes_weigh_alike_and_a_clip_one_on_average() -> None:
    target = torch.eye(3)[torch.tensor([0] * 6 + [1] * 3)]
    weight = class_weights(target)
    assert weight.tolist() == [0.75, 1.5, 0.0]
    assert (target @ weight).mean() == 1.0
    y = target.argmax(dim=1).numpy()
    assert compute_class_weight("balanced", classes=np.array([0, 1]), y=y).tolist() == [0.75, 1.5]
