"""Cross-entropy against hard, soft and smoothed labels."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from synatt.loss import soft_cross_entropy


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
