"""New classes on fixed embeddings: they are found, old rows stay, and what is told of them is true."""

import numpy as np
import pytest
import torch

from synatt.backbones import Attributor
from synatt.enrolment import COUNTS, DRAWS, Bank, accuracy_by_count, fit_rows, new_classes, widen

E, OLD = 16, 4


def clouds(rows: int, classes: int, seed: int, first: int = 0, copies: int = 2) -> Bank:
    """Gaussian clouds around fixed random centres, `copies` rows a clip."""
    centre = np.random.default_rng(99).normal(0, 1.5, (OLD + 3, E))[first : first + classes]
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), rows * copies)
    clip = np.repeat(np.arange(classes * rows), copies)
    return Bank((centre[label] + rng.normal(0, 1, (len(label), E))).astype(np.float32), label, clip)


@pytest.fixture(scope="module")
def layer() -> tuple[np.ndarray, np.ndarray]:
    """A last layer that knows the old classes."""
    from sklearn.linear_model import LogisticRegression

    old = clouds(50, OLD, 0)
    model = LogisticRegression().fit(old.vectors, old.label)
    return model.coef_.astype(np.float32), model.intercept_.astype(np.float32)


def test_new_classes_are_found_and_old_ones_keep_their_clips(layer: tuple[np.ndarray, np.ndarray]) -> None:
    weight, bias = layer
    new_w, new_b = fit_rows(clouds(30, OLD, 1), clouds(10, 2, 2, first=OLD), weight, bias)
    assert new_w.shape == (2, E) and new_b.shape == (2,)
    all_w, all_b = np.concatenate([weight, new_w]), np.concatenate([bias, new_b])
    old, new = clouds(40, OLD, 3), clouds(40, 2, 4, first=OLD)
    assert np.mean((new.vectors @ all_w.T + all_b).argmax(1) == new.label + OLD) > 0.9
    before = np.mean((old.vectors @ weight.T + bias).argmax(1) == old.label)
    assert np.mean((old.vectors @ all_w.T + all_b).argmax(1) == old.label) > before - 0.05


def test_classes_count_evenly_whatever_their_numbers(layer: tuple[np.ndarray, np.ndarray]) -> None:
    old, few = clouds(30, OLD, 1), clouds(10, 1, 2, first=OLD)
    often = Bank(np.tile(few.vectors, (9, 1)), np.tile(few.label, 9), np.tile(few.clip, 9))
    one, other = (fit_rows(old, new, *layer) for new in (few, often))
    np.testing.assert_allclose(one[0], other[0], atol=1e-3)
    np.testing.assert_allclose(one[1], other[1], atol=1e-3)


@pytest.mark.parametrize(("unknown_last", "at"), [(True, 3), (False, 4)])
def test_a_widened_network_gives_the_old_logits_and_the_new_ones(unknown_last: bool, at: int) -> None:
    torch.manual_seed(0)
    net = Attributor(torch.nn.Flatten(), 3 * 4 * 5, E, 4).eval()
    x, w, b = torch.randn(2, 4, 5), np.ones((1, E), np.float32), np.array([0.5], np.float32)
    before, vector = net(x), net.embedding(x)
    widen(net, w, b, unknown_last)
    after = net(x)
    torch.testing.assert_close(torch.cat([after[:, :at], after[:, at + 1 :]], dim=1), before)
    torch.testing.assert_close(after[:, at], vector.sum(1) + 0.5)


def test_accuracy_is_told_for_every_number_of_clips_that_leaves_some(layer: tuple[np.ndarray, np.ndarray]) -> None:
    rows = accuracy_by_count(clouds(30, OLD, 1), clouds(26, 1, 2, first=OLD), *layer, seed=0)
    assert {row["clips"] for row in rows} == {n for n in COUNTS if n <= 21} and len(rows) == 3 * DRAWS
    mean = {n: np.mean([row["recall"] for row in rows if row["clips"] == n]) for n in (5, 20)}
    assert 0.7 < mean[5] <= mean[20] + 0.02
    assert all(row["old_after"] <= row["old_before"] for row in rows)
    # A class that is an old one under another name cannot be told from it: what it finds, the old one loses.
    same = accuracy_by_count(clouds(30, OLD, 1), clouds(26, 1, 2, first=0), *layer, seed=0)
    assert np.mean([row["old_before"] - row["old_after"] for row in same]) > 0.08
    assert accuracy_by_count(clouds(30, OLD, 1), clouds(9, 1, 2, first=OLD), *layer, seed=0) == []


def test_new_names_come_before_the_unknown_one() -> None:
    assert new_classes(("a", "unknown"), ("b", "c")) == ("a", "b", "c", "unknown")
    assert new_classes(("a", "d"), ("b",)) == ("a", "d", "b")
