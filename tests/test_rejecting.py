"""Thresholds: the best on the rows they are chosen on, and measured on rows that did not choose them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synatt.rejecting import accepting_threshold, alarm_threshold, first_half, reject_frame, unknown_threshold_frame
from tests.scoredrows import rows, scorer

WANTED = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5])
CONFIDENCE = hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(1, 10)).map(lambda a: a / 10)


@given(CONFIDENCE, WANTED, st.integers(0, 2**32 - 1))
def test_the_accepting_threshold_is_the_smallest_that_keeps_the_rate(
    confidence: np.ndarray, wanted: float, seed: int
) -> None:
    wrong = np.random.default_rng(seed).random(len(confidence)) < 0.3
    rates = {t: wrong[confidence >= t].mean() for t in np.unique(confidence)}
    good = [t for t, rate in rates.items() if rate <= wanted + 1e-9]
    found = accepting_threshold(confidence, wrong, wanted)
    assert found == min(good) if good else np.isnan(found)


@given(CONFIDENCE, WANTED)
def test_the_alarm_threshold_flags_no_more_of_the_known_than_wanted(score: np.ndarray, wanted: float) -> None:
    found = alarm_threshold(score, wanted)
    assert (score >= found).mean() <= wanted + 1e-9
    lower = score[score < found]
    assert not len(lower) or (score >= lower.max()).mean() > wanted


def test_without_rows_there_is_no_threshold() -> None:
    assert np.isnan(accepting_threshold(np.zeros(0), np.zeros(0, bool), 0.05))
    assert np.isnan(alarm_threshold(np.zeros(0), 0.05))


@given(hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 4)), st.integers(0, 99))
def test_halves_have_half_of_each_class(strata: np.ndarray, seed: int) -> None:
    half = first_half(strata, np.random.default_rng(seed))
    for stratum in np.unique(strata):
        mine = half[strata == stratum]
        assert abs(2 * mine.sum() - len(mine)) <= 1


def noisy(n: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, confidence = rng.integers(0, 3, n), rng.uniform(0.34, 1, n)
    answer = np.where(rng.random(n) < confidence, truth, (truth + 1) % 3)
    return truth, answer, confidence


def test_each_half_is_measured_by_the_threshold_of_the_other() -> None:
    truth, answer, confidence = noisy()
    scored = rows(truth, answer, confidence)
    table = reject_frame(scored, 0.1, scorer(seed=5)).set_index("half")
    half, wrong = first_half(truth, scorer(seed=5).rng), truth != answer
    threshold = accepting_threshold(confidence[~half], wrong[~half], 0.1)
    accepted = half & (confidence >= threshold)
    row = table.loc["first"]
    assert row["threshold"] == threshold
    assert (row["n_chosen_on"], row["n"]) == ((~half).sum(), half.sum())
    assert row["coverage"] == accepted.sum() / half.sum()
    assert row["error"] == wrong[accepted].mean()
    assert row["error_low"] < row["error"] < row["error_high"]
    both = table.loc["both"]
    assert both["threshold"] == accepting_threshold(confidence, wrong, 0.1)
    assert both["n_wrong"] == table.loc["first", "n_wrong"] + table.loc["second", "n_wrong"]
    assert both["n"] == len(truth)


def test_an_error_chosen_on_the_same_tracks_would_be_too_low() -> None:
    measured, chosen = [], []
    for seed in range(40):
        truth, answer, confidence = noisy(60, seed)
        both = reject_frame(rows(truth, answer, confidence), 0.1, scorer(seed=seed)).iloc[-1]
        accepted = confidence >= both["threshold"]
        if both["n_accepted"] and accepted.any():
            measured.append(both["error"])
            chosen.append((truth != answer)[accepted].mean())
    assert np.mean(measured) > np.mean(chosen) + 0.02


def test_a_rate_that_no_threshold_reaches_accepts_nothing_and_has_no_error() -> None:
    table = reject_frame(rows([0, 0, 1, 1] * 5, [1, 1, 0, 0] * 5), 0.05, scorer())
    assert table["threshold"].isna().all()
    assert (table["coverage"] == 0).all()
    assert table["error"].isna().all() and table["error_low"].isna().all()


def test_no_errors_among_a_few_still_leave_an_interval() -> None:
    both = reject_frame(rows([0, 1, 2] * 6), 0.05, scorer()).iloc[-1]
    assert both["error"] == 0 and both["error_high"] > 0.1


@pytest.mark.parametrize("truth", [[], [0], [2]], ids=["empty", "one known", "one unknown"])
def test_too_few_rows_give_no_rates(truth: list[int]) -> None:
    table = reject_frame(rows(truth), 0.05, scorer())
    assert table["error"].isna().all() and table["coverage"].isna().all()
    unknown = unknown_threshold_frame(rows(truth), 0.05, scorer())
    assert unknown["false_alarm"].isna().all() and unknown["found"].isna().all()


def test_flagging_counts_known_and_unknown_apart() -> None:
    truth = np.array([0, 1] * 50 + [2] * 40)
    scored = rows(truth, truth, 0.9)
    table = unknown_threshold_frame(scored, 0.05, scorer()).set_index("half")
    both = table.loc["both"]
    assert (both["n_known"], both["n_unknown"], both["n_false_alarms"], both["n_found"]) == (100, 40, 0, 40)
    assert both["found"] == 1 and both["false_alarm"] == 0
    assert both["found_low"] < 1 and both["false_alarm_high"] > 0
