"""How well left-out generators are told from known speech: the numbers are scikit-learn's, the decision others'."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from synatt.judging import Judged
from synatt.unseen import unseen_scores

UNKNOWN, LEVELS = 3, ("clean", "strong")


def fold(seed: int, made_by: tuple[str, ...], far: bool = True) -> Judged:
    """Three known classes; unknown speech by `made_by`, the first of which is easily told and the last hardly."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.repeat(np.arange(4), 40), 2)
    generator = np.where(truth == UNKNOWN, np.array(made_by)[np.arange(320) % len(made_by)], "known")
    ease = np.array([1.0 - made_by.index(g) / len(made_by) if g in made_by else 0.0 for g in generator])
    level = np.repeat(LEVELS, 160)
    logits = rng.normal(0, np.where(level == "strong", 1.5, 0.3)[:, None], (320, 4)).astype(np.float32)
    logits[np.arange(320), np.where(truth == UNKNOWN, 0, truth)] += 6 - 5 * ease
    unlikeness = ease + rng.normal(0, 0.5, 320) if far else None
    return Judged(logits, truth, generator, unlikeness, level)


FOLDS = {0: fold(0, ("robot",)), 1: fold(1, ("parrot", "ghost"))}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(unseen_scores(FOLDS, UNKNOWN))


def test_there_is_a_row_for_every_fold_level_generator_and_score(table: pd.DataFrame) -> None:
    keys = table.set_index(["fold", "level", "generator", "score"]).index
    names = ("max_softmax", "unknown", "energy", "unlikeness", "decision")
    made_by = [(0, "robot"), (1, "ghost"), (1, "parrot")]
    assert keys.is_unique
    assert set(keys) == {(f, level, g, s) for f, g in made_by for level in LEVELS for s in names}


def test_each_generator_is_held_against_the_known_rows_of_its_fold_and_level(table: pd.DataFrame) -> None:
    rows = FOLDS[1]
    at = (rows.level == "strong") & (rows.generator != "ghost")
    row = table.query("fold == 1 and level == 'strong' and generator == 'parrot' and score == 'unlikeness'").iloc[0]
    assert rows.unlikeness is not None
    assert row["auroc"] == pytest.approx(roc_auc_score(rows.truth[at] == UNKNOWN, rows.unlikeness[at]))
    assert (row["clips"], row["known_clips"]) == (20, 120)


def test_what_is_easy_to_tell_is_told_and_strong_perturbation_costs(table: pd.DataFrame) -> None:
    decided = table[table["score"] == "decision"]
    by_level = decided.groupby("level")[["auroc", "known_recall"]].mean()
    assert (by_level.loc["clean"] > by_level.loc["strong"]).all()
    by_generator = decided.groupby("generator")["auroc"].mean()
    assert by_generator["robot"] > by_generator["ghost"]


def test_the_decision_is_the_other_folds(table: pd.DataFrame) -> None:
    how = FOLDS[0].fit(UNKNOWN, open_set=True)
    rows = FOLDS[1]
    mine = (rows.level == "clean") & (rows.generator == "ghost")
    wanted = (rows.answers(how, UNKNOWN)[mine] == UNKNOWN).mean()
    found = table.query("fold == 1 and level == 'clean' and generator == 'ghost'")["recall"]
    assert set(found) == {wanted}


def test_folds_without_unknown_rows_have_no_rows() -> None:
    known = Judged(FOLDS[0].logits[:120], FOLDS[0].truth[:120], FOLDS[0].generator[:120], None, FOLDS[0].level[:120])
    assert unseen_scores({0: known}, UNKNOWN) == []


def test_without_neighbours_there_is_no_such_score() -> None:
    found = pd.DataFrame(unseen_scores({k: fold(k, ("robot",), far=False) for k in range(2)}, UNKNOWN))
    assert set(found["score"]) == {"max_softmax", "unknown", "energy", "decision"}
