"""The softmax temperature that makes confidence honest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from synatt.calibration import fit_temperature


def drawn(rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with the very probabilities that they state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, 6))
    steps = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((rows, 1)) > steps).sum(axis=1).clip(max=5)


@pytest.mark.parametrize("too_sure", [0.3, 1.0, 2.5, 6.0])
def test_it_finds_by_how_much_the_logits_are_too_sure(too_sure: float) -> None:
    logits, truth = drawn()
    assert fit_temperature(logits * too_sure, truth) == pytest.approx(too_sure, rel=0.06)


@given(st.integers(1, 30), st.integers(0, 1000))
def test_the_temperature_is_in_its_range_and_never_makes_the_likelihood_worse(rows: int, seed: int) -> None:
    logits, truth = drawn(rows, seed)
    found = fit_temperature(logits.astype(np.float32), truth)
    assert 0.05 <= found <= 20

    def nll(t: float) -> float:
        return -float(log_softmax(logits / t, axis=1)[np.arange(rows), truth].mean())

    assert nll(found) <= nll(1.0) + 1e-4


def test_no_rows_leave_the_softmax_as_it_is() -> None:
    assert fit_temperature(np.zeros((0, 6), np.float32), np.zeros(0, np.int64)) == 1.0


def test_a_model_that_is_always_right_gets_surer() -> None:
    assert 0.05 <= fit_temperature(np.eye(6) * 5, np.arange(6)) < 0.5
