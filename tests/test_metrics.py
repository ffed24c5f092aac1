"""Metrics against scikit-learn, brute force and what their definitions promise."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
from sklearn import metrics as sk

from synatt import metrics as m


@st.composite
def answers(draw: st.DrawFn, min_rows: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
    n_classes = draw(st.integers(2, 6))
    n = draw(st.integers(min_rows, 60))
    index = hnp.arrays(np.int64, n, elements=st.integers(0, n_classes - 1))
    return draw(index), draw(index), n_classes


@st.composite
def two_sided_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and at least one positive and one negative."""
    n = draw(st.integers(2, 50))
    score = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 12))) / 4
    positive = draw(hnp.arrays(np.bool_, n))
    positive[:2] = True, False
    return score, positive


@given(answers())
def test_confusion_matrix_is_scikit_learns(rows: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, answer, n_classes = rows
    want = sk.confusion_matrix(truth, answer, labels=range(n_classes))
    np.testing.assert_array_equal(m.confusion_matrix(truth, answer, n_classes), want)


@given(answers())
def test_class_scores_are_scikit_learns_and_undefined_for_a_class_absent_from_the_truth(
    rows: tuple[np.ndarray, np.ndarray, int],
) -> None:
    truth, answer, n_classes = rows
    scores = m.class_scores(m.confusion_matrix(truth, answer, n_classes))
    want = sk.precision_recall_fscore_support(truth, answer, labels=range(n_classes), zero_division=0)[:3]
    present = np.isin(np.arange(n_classes), truth)
    for got, expected in zip(scores, want, strict=True):
        np.testing.assert_allclose(got[present], expected[present])
        assert np.isnan(got[~present]).all()


@given(answers())
def test_macro_scores_are_scikit_learns_over_the_classes_in_the_truth(rows: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, answer, n_classes = rows
    got = m.macro_scores(m.confusion_matrix(truth, answer, n_classes))
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(truth, answer))
    present = np.unique(truth)
    if len(present) < 2:
        assert np.isnan([got["macro_precision"], got["macro_recall"], got["macro_f1"]]).all()
        return
    want = sk.precision_recall_fscore_support(truth, answer, labels=present, average="macro", zero_division=0)[:3]
    np.testing.assert_allclose([got["macro_precision"], got["macro_recall"], got["macro_f1"]], want)


def test_scores_of_nothing_are_undefined_not_zero() -> None:
    scores = m.macro_scores(m.confusion_matrix(np.zeros(0, int), np.zeros(0, int), 3))
    assert all(np.isnan(value) for value in scores.values())
    assert all(np.isnan(value) for value in m.detection_scores(m.score_counts(np.zeros(0), np.zeros(0, bool))).values())


@given(two_sided_scores())
def test_auroc_and_roc_are_scikit_learns(rows: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = rows
    fpr, tpr = m.roc_curve(m.score_counts(score, positive))
    want_fpr, want_tpr, _ = sk.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, want_fpr)
    np.testing.assert_allclose(tpr, want_tpr)
    assert m.auroc(fpr, tpr) == pytest.approx(sk.roc_auc_score(positive, score))


def brute_force_eer(score: np.ndarray, positive: np.ndarray) -> float:
    """Walk over all thresholds until misses no longer exceed false alarms, then join the last two points."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(score), reverse=True):
        flagged = score >= threshold
        points.append((flagged[~positive].mean(), (~flagged)[positive].mean()))
        (false_0, miss_0), (false_1, miss_1) = points[-2:]
        if miss_1 <= false_1:
            step = (miss_0 - false_0) / ((miss_0 - false_0) - (miss_1 - false_1))
            return float(false_0 + step * (false_1 - false_0))
    raise AssertionError("the last threshold flags everything")


@given(two_sided_scores())
def test_eer_is_where_a_walk_over_all_thresholds_finds_it(rows: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = rows
    got = m.detection_scores(m.score_counts(score, positive))["eer"]
    assert got == pytest.approx(brute_force_eer(score, positive))


@given(two_sided_scores())
def test_fpr_at_95_tpr_is_the_least_that_finds_enough_positives(rows: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = rows
    flagged = [score >= threshold for threshold in sorted(set(score))]
    want = min(f[~positive].mean() for f in flagged if f[positive].mean() >= 0.95)
    assert m.detection_scores(m.score_counts(score, positive))["fpr_at_95_tpr"] == pytest.approx(want)


@pytest.mark.parametrize("positive", [True, False])
def test_detection_of_a_one_sided_set_is_undefined(positive: bool) -> None:
    counts = m.score_counts(np.array([0.1, 0.2]), np.array([positive, positive]))
    assert all(np.isnan(value) for value in m.detection_scores(counts).values())


def test_perfect_and_reversed_scores_have_the_extreme_detection_scores() -> None:
    positive = np.array([False, False, True, True])
    best = m.detection_scores(m.score_counts(np.array([1, 2, 3, 4]), positive))
    worst = m.detection_scores(m.score_counts(np.array([4, 3, 2, 1]), positive))
    assert {name: float(value) for name, value in best.items()} == {"auroc": 1, "eer": 0, "fpr_at_95_tpr": 0}
    assert {name: float(value) for name, value in worst.items()} == {"auroc": 0, "eer": 1, "fpr_at_95_tpr": 1}


def test_merging_scores_keeps_every_row_and_hardly_moves_the_detection_scores() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(20_000) < 0.3
    whole = m.score_counts(rng.normal(size=20_000) + positive, positive)
    merged = whole.merged(512)
    assert len(merged.threshold) <= 513
    assert merged.positive.sum() == positive.sum()
    assert merged.negative.sum() == (~positive).sum()
    for name, value in m.detection_scores(whole).items():
        assert m.detection_scores(merged)[name] == pytest.approx(value, abs=5e-3)


@settings(deadline=None)
@given(answers(min_rows=2), st.integers(0, 2**32 - 1))
def test_bootstrap_interval_holds_the_accuracy_it_belongs_to(
    rows: tuple[np.ndarray, np.ndarray, int], seed: int
) -> None:
    truth, answer, n_classes = rows
    confusion = m.confusion_matrix(truth, answer, n_classes)
    drawn = m.resample_counts(confusion, 400, np.random.default_rng(seed))
    assert (drawn.sum((1, 2)) == len(truth)).all()
    low, high = m.interval(m.macro_scores(drawn)["accuracy"])
    assert low - 1e-9 <= m.macro_scores(confusion)["accuracy"] <= high + 1e-9


def test_drawing_cells_spreads_like_drawing_rows() -> None:
    rng = np.random.default_rng(3)
    truth, answer = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    confusion = m.confusion_matrix(truth, answer, 4)
    cells = m.macro_scores(m.resample_counts(confusion, 4000, rng))["macro_f1"]
    rows = []
    for _ in range(2000):
        pick = rng.integers(0, 300, 300)
        rows.append(sk.f1_score(truth[pick], answer[pick], average="macro"))
    np.testing.assert_allclose(m.interval(cells), m.interval(np.array(rows)), atol=0.01)


def test_the_interval_covers_the_true_accuracy_about_as_often_as_it_claims() -> None:
    rng = np.random.default_rng(11)
    held = 0.0
    for _ in range(300):
        right = rng.random(200) < 0.8
        confusion = m.confusion_matrix(np.zeros(200, int), (~right).astype(int), 2)
        low, high = m.interval(m.macro_scores(m.resample_counts(confusion, 300, rng))["accuracy"])
        held += bool(low <= 0.8 <= high)
    assert 0.90 <= held / 300 <= 0.985


def test_interval_leaves_out_a_fortieth_on_either_side() -> None:
    limits = m.interval(np.random.default_rng(0).permutation(np.arange(1001)) / 1000)
    assert np.array(limits) == pytest.approx([0.025, 0.975])


def test_interval_leaves_out_undefined_samples_and_is_undefined_without_any() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = m.interval(np.array([[0.5, np.nan], [np.nan, np.nan]]))
        nothing = m.interval(np.zeros((0, 2)))
    assert (low[0], high[0]) == (0.5, 0.5)
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(nothing).all()


def test_calibration_error_of_confidence_that_is_always_wrong_is_the_confidence() -> None:
    confidence = np.array([0.7, 0.9, 0.95])
    bins = m.reliability(confidence, np.zeros(3, bool))
    assert m.expected_calibration_error(bins) == pytest.approx(confidence.mean())


def test_calibration_error_by_hand() -> None:
    bins = m.reliability(np.array([0.2, 0.2, 0.6, 1.0]), np.array([True, False, True, True]), bins=5)
    assert bins["n"].tolist() == [2, 0, 1, 0, 1]
    assert m.expected_calibration_error(bins) == pytest.approx((2 * abs(0.5 - 0.2) + abs(1 - 0.6) + 0) / 4)
    assert np.isnan(m.expected_calibration_error(m.reliability(np.zeros(0), np.zeros(0, bool))))


@given(two_sided_scores())
def test_coverage_curve_ends_with_all_rows_and_their_accuracy(rows: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, correct = rows
    curve = m.coverage_curve(confidence, correct)
    assert curve["coverage"][-1] == 1
    assert curve["accuracy"][-1] == pytest.approx(correct.mean())
    assert (np.diff(curve["coverage"]) > 0).all()
    accepted = confidence >= curve["min_confidence"][0]
    assert curve["accuracy"][0] == pytest.approx(correct[accepted].mean())


@given(st.integers(1, 200), st.data())
def test_a_shares_limits_are_scipys(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    low, high = m.wilson_interval(hits, n)
    want = binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert (float(low), float(high)) == pytest.approx((want.low, want.high), abs=1e-6)
    assert 0 <= low <= hits / n <= high <= 1


def test_a_share_of_nothing_has_no_limits() -> None:
    assert np.isnan(m.wilson_interval(0, 0)).all()
