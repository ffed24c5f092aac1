"""The decision between known and unknown: probabilities that add up, and a threshold that new generators set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synatt.openset import Confidence, fit_confidence, log_odds, probabilities

logits = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(3, 7)), elements=st.floats(-30, 30, width=32))


@given(logits, st.data())
def test_log_odds_are_those_of_the_largest_known_probability(z: np.ndarray, data: st.DataObject) -> None:
    unknown = data.draw(st.integers(0, z.shape[1] - 1))
    p = torch.softmax(torch.from_numpy(z.astype(np.float64)), dim=1).numpy()
    best = np.delete(p, unknown, axis=1).max(axis=1)
    found = 1 / (1 + np.exp(-log_odds(torch.from_numpy(z.astype(np.float64)), unknown).numpy()))
    np.testing.assert_allclose(found, 1 - best, atol=1e-9)


@given(logits, st.floats(0.1, 5), st.floats(-4, 4), st.floats(0.2, 5))
def test_probabilities_add_up_and_known_ones_keep_their_order(
    z: np.ndarray, slope: float, bias: float, temperature: float
) -> None:
    unknown = z.shape[1] - 1
    p = probabilities(torch.from_numpy(z), Confidence(temperature, slope, bias), unknown).numpy()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    wanted = 1 / (1 + np.exp(-(slope * log_odds(torch.from_numpy(z), unknown).numpy() + bias)))
    np.testing.assert_allclose(p[:, unknown], wanted, atol=1e-5)
    known, order = p[:, :unknown], z[:, :unknown]
    assert (np.take_along_axis(known, order.argmax(1)[:, None], 1)[:, 0] >= known.max(axis=1) - 1e-6).all()


def test_without_a_slope_it_is_the_softmax() -> None:
    z = torch.tensor([[1.0, 2.0, 0.5]])
    for how, unknown in ((Confidence(2.0), 2), (Confidence(2.0, 1.0, 0.0), None)):
        torch.testing.assert_close(probabilities(z, how, unknown), torch.softmax(z / 2, dim=1))


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of known clips that are sure, and of an unknown generator that is taken for a known one, less surely."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], rows)
    z = rng.normal(0, 0.5, (3 * rows, 3))
    z[np.arange(2 * rows), truth[: 2 * rows]] += 6
    z[2 * rows :, 0] += rng.normal(2.0, 0.7, rows)
    return z.astype(np.float32), truth, np.repeat(["a", "b", "new"], rows)


def test_a_generator_that_the_softmax_takes_for_known_is_found_by_its_doubt() -> None:
    z, truth, generator = drawn(300)
    how = fit_confidence(z, truth, generator, 2, open_set=True)
    fresh, wanted, _ = drawn(300, seed=1)
    answers = [probabilities(torch.from_numpy(fresh), c, 2).numpy().argmax(1) for c in (Confidence(), how)]
    assert np.mean(answers[0][wanted == 2] == 2) < 0.1
    assert np.mean(answers[1][wanted == 2] == 2) > 0.9 and np.mean(answers[1][wanted < 2] == wanted[wanted < 2]) > 0.95


def test_generators_count_evenly_whatever_their_numbers() -> None:
    z, truth, generator = drawn(200)
    many = np.concatenate([np.arange(len(z)), np.repeat(np.flatnonzero(truth == 2), 9)])
    one, more = (fit_confidence(z[i], truth[i], generator[i], 2, True) for i in (np.arange(len(z)), many))
    assert one.slope == pytest.approx(more.slope, rel=0.02) and one.bias == pytest.approx(more.bias, rel=0.02)


@pytest.mark.parametrize("keep", ["known", "unknown", "none"])
def test_one_side_alone_leaves_the_softmax_over_all_classes(keep: str) -> None:
    z, truth, generator = drawn(50)
    rows = {"known": truth != 2, "unknown": truth == 2, "none": np.zeros(len(truth), bool)}[keep]
    how = fit_confidence(z[rows], truth[rows], generator[rows], 2, open_set=True)
    assert how.slope is None and how.bias is None and how.temperature > 0
    assert fit_confidence(z, truth, generator, None, True).slope is None
    assert fit_confidence(z, truth, generator, 2, False).slope is None


def test_distance_finds_what_the_softmax_is_sure_of() -> None:
    z, truth, generator = drawn(300)
    z[truth == 2, 0] += 6  # the new generator is taken for a known class, without a doubt
    rng = np.random.default_rng(3)
    unlikeness = rng.normal(0, 0.1, len(z)) + 0.8 * (truth == 2)
    how = fit_confidence(z, truth, generator, 2, True, unlikeness)
    assert how.distance_slope is not None and how.distance_slope > 0
    told = torch.from_numpy(unlikeness).float()
    answer = probabilities(torch.from_numpy(z), how, 2, told).numpy().argmax(axis=1)
    assert np.mean(answer[truth == 2] == 2) > 0.95 and np.mean(answer[truth < 2] == truth[truth < 2]) > 0.95
    assert fit_confidence(z, truth, generator, 2, True) != how


def test_a_distance_that_points_the_wrong_way_is_left_out() -> None:
    z, truth, generator = drawn(200)
    alone = fit_confidence(z, truth, generator, 2, True)
    backwards = fit_confidence(z, truth, generator, 2, True, -1.0 * (truth == 2) + 0.01 * np.arange(len(z)) / len(z))
    assert backwards.distance_slope is None and backwards.slope == alone.slope and backwards.bias == alone.bias


def test_a_score_that_points_the_wrong_way_is_not_used() -> None:
    z, truth, generator = drawn(100)
    swapped = np.where(truth == 2, 0, 2)  # the sure clips are called unknown
    assert fit_confidence(z, swapped, generator, 2, open_set=True).slope is None
