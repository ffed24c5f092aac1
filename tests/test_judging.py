"""How good the decision between known and unknown is on folds it was not fitted on."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from synatt.judging import Judged, decided_f1

UNKNOWN = 3


def fold(seed: int, doubt: float, far: bool = False) -> Judged:
    """Clips of three known classes, and unknown ones that are always taken for one of them, with less certainty."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 30)
    logits = rng.normal(0, 0.3, (120, 4)).astype(np.float32)
    heard = np.where(truth == UNKNOWN, rng.integers(0, 3, 120), truth)
    logits[np.arange(120), heard] += np.where(truth == UNKNOWN, 6 - doubt, 6)
    unlikeness = (truth == UNKNOWN) + rng.normal(0, 0.1, 120) if far else None
    return Judged(logits, truth, np.where(truth == UNKNOWN, f"new{seed}", "known"), unlikeness)


def test_doubt_finds_what_the_largest_logit_never_calls_unknown() -> None:
    folds = {k: fold(k, doubt=3) for k in range(3)}
    for k, score in decided_f1(folds, UNKNOWN).items():
        argmax = f1_score(folds[k].truth, folds[k].logits.argmax(axis=1), average="macro", zero_division=0)
        assert score > 0.95 and argmax < 0.7


def test_a_fold_is_decided_by_what_the_others_have_fitted() -> None:
    folds = {0: fold(0, doubt=3), 1: fold(1, doubt=3), 2: fold(2, doubt=-1)}
    found = decided_f1(folds, UNKNOWN)
    how = Judged.together([folds[0], folds[1]]).fit(UNKNOWN, open_set=True)
    assert found[2] == f1_score(folds[2].truth, folds[2].answers(how, UNKNOWN), average="macro", zero_division=0)
    assert found[2] < 0.8, "its own rows would have told otherwise"


@pytest.mark.parametrize("lacking", [False, True])
def test_neighbours_count_where_every_fold_has_them(lacking: bool) -> None:
    folds = {k: fold(k, doubt=0, far=not (lacking and k == 1)) for k in range(3)}
    found = decided_f1(folds, UNKNOWN)
    assert set(found) == {0, 1, 2}
    assert (min(found.values()) > 0.95) != lacking


def test_a_single_fold_is_decided_by_itself() -> None:
    assert decided_f1({4: fold(0, doubt=3)}, UNKNOWN)[4] > 0.95
