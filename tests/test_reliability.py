"""Calibration numbers against their definitions, and what their intervals promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from synatt import metrics as m
from synatt.reliability import (
    calibration_error,
    calibration_frame,
    calibration_row,
    cells,
    equal_size_bins,
    equal_width_bins,
    reliability_frame,
)
from tests.scoredrows import CLASSES, rows, scorer

CONFIDENCE = hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1))


@given(CONFIDENCE, st.integers(0, 99))
def test_the_error_is_that_of_the_reliability_bins(confidence: np.ndarray, seed: int) -> None:
    right = np.random.default_rng(seed).random(len(confidence)) < 0.5
    found = calibration_error(equal_width_bins(confidence), confidence - right)
    assert found == pytest.approx(m.expected_calibration_error(m.reliability(confidence, right)))


@given(CONFIDENCE)
def test_bins_of_equal_size_keep_equal_confidence_together(confidence: np.ndarray) -> None:
    bins = equal_size_bins(confidence)
    assert all(len(set(bins[confidence == c])) == 1 for c in confidence)
    assert (np.diff(bins[np.argsort(confidence)]) >= 0).all()
    if len(np.unique(confidence)) == len(confidence):
        assert np.bincount(bins).max() <= -(-len(confidence) // 15)


@given(CONFIDENCE, st.integers(1, 9))
def test_cells_keep_every_row_and_the_sum_of_its_bin(value: np.ndarray, most: int) -> None:
    bins = equal_width_bins(value)
    cell_bin, n, mean = cells(bins, value, most)
    assert n.sum() == len(value) and (np.bincount(cell_bin) <= most).all()
    np.testing.assert_allclose(np.bincount(cell_bin, n * mean), np.bincount(bins, value), atol=1e-9)


def drawn(n: int, bias: float, seed: int = 1) -> "object":
    """Rows that are right with the probability `confidence + bias`."""
    rng = np.random.default_rng(seed)
    truth, confidence = rng.integers(0, 3, n), rng.uniform(0.45, 0.75, n)
    answer = np.where(rng.random(n) < confidence + bias, truth, (truth + 1) % 3)
    return rows(truth, answer, confidence)


def test_losses_are_scikit_learns() -> None:
    scored = drawn(200, 0.0)
    row = calibration_row(scored, scorer())
    p = scored.p.astype(float)
    assert row["nll"] == pytest.approx(sk.log_loss(scored.truth, p, labels=range(len(CLASSES))), rel=1e-5)
    assert row["brier"] == pytest.approx(np.mean(((p - np.eye(3)[scored.truth]) ** 2).sum(1)))
    for name in ("nll", "brier"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        values = (
            -np.log(p[np.arange(200), scored.truth]) if name == "nll" else ((p - np.eye(3)[scored.truth]) ** 2).sum(1)
        )
        want = 2 * 1.96 * values.std() / np.sqrt(200)
        assert row[f"{name}_high"] - row[f"{name}_low"] == pytest.approx(want, rel=0.25)


def test_a_wrong_confidence_shows_beyond_what_so_few_rows_would_show_anyway() -> None:
    honest, sure = (calibration_row(drawn(500, bias), scorer()) for bias in (0.0, -0.3))
    assert honest["ece"] < 2 * honest["ece_if_calibrated"]
    assert sure["ece"] == pytest.approx(0.3, abs=0.06)
    assert sure["ece_low"] > 2 * sure["ece_if_calibrated"]
    assert sure["ece_low"] < sure["ece"] < sure["ece_high"]
    assert sure["adaptive_ece"] == pytest.approx(0.3, abs=0.06)


def test_fewer_rows_of_a_calibrated_ensemble_show_more_error_and_the_reference_says_so() -> None:
    few, many = (calibration_row(drawn(n, 0.0), scorer()) for n in (40, 4000))
    assert few["ece_if_calibrated"] > 4 * many["ece_if_calibrated"]


def test_each_group_has_its_own_row_and_bins() -> None:
    scored = rows([0, 1, 2, 0], [0, 1, 0, 0], [0.9, 0.9, 0.6, 0.6], level=["w", "w", "s", None])
    table = calibration_frame(scored, ["level"], scorer())
    assert table["value"].tolist()[1:3] == ["s", "w"] and table["value"].isna().tolist() == [True, False, False, True]
    assert table["n"].tolist() == [4, 1, 2, 1]
    assert table["ece"].tolist()[1:] == pytest.approx([0.6, 0.1, 0.4])
    bins = reliability_frame(scored, ["level"])
    assert bins.groupby("value", dropna=False)["n"].sum().to_dict() == {"s": 1, "w": 2, np.nan: 1}


def test_no_rows_have_no_calibration() -> None:
    row = calibration_row(rows([]), scorer())
    assert row.pop("n") == 0
    assert all(np.isnan(value) for value in row.values())
    assert len(reliability_frame(rows([], level=[]), ["level"])) == 0


def test_a_probability_of_zero_costs_much_and_not_everything() -> None:
    row = calibration_row(rows([0, 1], [1, 1], 1.0), scorer())
    assert np.isfinite(row["nll"]) and row["nll"] > 7
