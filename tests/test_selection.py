"""Choosing an epoch count from the folds' curves, and stopping folds that have no hope."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.selection import choose, is_hopeless, mean_curve


def curve(*values: float) -> dict[int, float]:
    return dict(enumerate(values, start=1))


CURVES = st.dictionaries(
    st.integers(0, 4),
    st.lists(st.floats(0, 1), min_size=1, max_size=12).map(lambda values: curve(*values)),
    min_size=1,
)


def test_the_highest_mean_over_the_folds_is_chosen() -> None:
    found = choose({0: curve(0.1, 0.9, 0.6), 1: curve(0.1, 0.3, 0.8)})
    assert (found.epochs, found.best_epochs, found.compared_epochs) == (3, 3, 3)
    assert found.macro_f1 == pytest.approx(0.7)
    assert found.spread == pytest.approx(0.1414, abs=1e-3)


def test_of_equal_means_the_smaller_count_is_chosen() -> None:
    assert choose({0: curve(0.5, 0.8, 0.8, 0.8)}).epochs == 2
    assert choose({0: curve(0.5, 0.75, 0.25), 1: curve(0.5, 0.25, 0.75)}).epochs == 1


def test_only_epochs_that_every_fold_reached_are_compared() -> None:
    found = choose({0: curve(0.5, 0.6, 0.99), 1: curve(0.5, 0.7)})
    assert (found.epochs, found.compared_epochs) == (2, 2)
    assert mean_curve({0: curve(0.5, 0.6, 0.99), 1: curve(0.5, 0.7)}) == pytest.approx({1: 0.5, 2: 0.65})


def test_without_a_common_epoch_there_is_no_choice() -> None:
    assert mean_curve({}) == {}
    for curves in ({}, {0: curve(0.5), 1: {}}):
        with pytest.raises(ValueError, match="reached by every fold"):
            choose(curves)


def test_one_standard_error_takes_the_smallest_count_within_it() -> None:
    # At the peak (epoch 4) the folds give 0.7 and 0.9: mean 0.8, standard error 0.1.
    curves = {0: curve(0.5, 0.66, 0.71, 0.7), 1: curve(0.6, 0.73, 0.73, 0.9)}
    assert choose(curves).epochs == 4
    found = choose(curves, one_standard_error=True)
    assert (found.epochs, found.best_epochs) == (3, 4)
    assert found.macro_f1 == pytest.approx(0.72)


def test_one_fold_has_no_standard_error() -> None:
    assert choose({0: curve(0.5, 0.6, 0.7)}, one_standard_error=True).epochs == 3


@given(CURVES, st.booleans())
def test_a_choice_is_a_count_that_all_folds_reached(curves: dict[int, dict[int, float]], rule: bool) -> None:
    found = choose(curves, rule)
    assert all(found.epochs in c for c in curves.values())
    assert found.epochs <= found.best_epochs <= found.compared_epochs
    assert max(mean_curve(curves).values()) == pytest.approx(mean_curve(curves)[found.best_epochs])


def test_a_choice_can_be_written_down() -> None:
    assert choose({0: curve(0.5)}).as_dict() == {
        "epochs": 1,
        "macro_f1": 0.5,
        "spread": 0.0,
        "best_epochs": 1,
        "compared_epochs": 1,
        "confidence": {"temperature": 1.0, "slope": None, "distance_slope": None, "bias": None},
    }


def test_a_mean_that_has_not_risen_for_the_patience_stops_the_folds() -> None:
    stalled = {0: curve(0.5, 0.8, 0.7, 0.7, 0.7), 1: curve(0.5, 0.8, 0.7, 0.7, 0.7)}
    assert is_hopeless(stalled, 5, grace=1, patience=3)
    assert not is_hopeless(stalled, 4, grace=1, patience=3)
    assert not is_hopeless(stalled, 5, grace=1, patience=4)


def test_a_mean_that_cannot_be_exceeded_ends_the_comparison() -> None:
    perfect = {0: curve(0.9, 1.0, 1.0), 1: curve(0.9, 0.8, 1.0)}
    assert is_hopeless(perfect, 3, grace=1, patience=9)
    assert not is_hopeless(perfect, 2, grace=1, patience=9)
    assert not is_hopeless(perfect, 3, grace=4, patience=9)


def test_nothing_stops_before_the_grace() -> None:
    assert not is_hopeless({0: curve(*[0.5] * 5)}, 5, grace=6, patience=2)
    assert is_hopeless({0: curve(*[0.5] * 6)}, 6, grace=6, patience=2)


def test_a_hard_fold_alone_stops_nothing() -> None:
    hard = curve(0.3, 0.2, 0.2, 0.2, 0.2, 0.2)
    rising = curve(0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
    assert not is_hopeless({0: hard, 1: rising}, 6, grace=1, patience=3)
    assert is_hopeless({0: hard}, 6, grace=1, patience=3)


def test_once_the_mean_has_stalled_later_folds_stop_there_too() -> None:
    done = curve(0.5, 0.8, 0.7, 0.7, 0.7)
    late = curve(0.5, 0.8, 0.7, 0.7, 0.7, 0.9)
    assert is_hopeless({0: done, 1: late}, 6, grace=1, patience=3)


def test_a_fold_ahead_of_the_others_is_judged_where_they_have_been() -> None:
    assert not is_hopeless({0: curve(*[0.5] * 9), 1: curve(0.5)}, 9, grace=1, patience=3)
