"""Scores of labelled rows with their bootstrap intervals: of all, of groups, of classes, of unknown generators."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synatt import metrics as m
from synatt.constants import unknown_index
from synatt.scored import Rows

# Intervals of the detection scores are taken on this many score steps; estimates are taken on every score.
INTERVAL_SCORE_STEPS = 512


@dataclass(frozen=True)
class Scorer:
    """What scoring needs besides rows; `rng` moves on with every use."""

    classes: tuple[str, ...]
    bootstrap: int
    rng: np.random.Generator

    @property
    def unknown(self) -> int | None:
        """Index of the class of unknown algorithms, None when the classes have none."""
        return unknown_index(self.classes)

    def is_unknown(self, rows: Rows) -> np.ndarray:
        """Boolean ``[N]``: the true class is the unknown one."""
        return np.zeros(len(rows), bool) if self.unknown is None else rows.truth == self.unknown


def score_row(labelled: Rows, scorer: Scorer) -> dict[str, Any]:
    """All scores of some labelled rows, each with `_low` and `_high` limits of its 95 % bootstrap interval.

    Returns:
        `n` labelled and answered rows, `n_errors` labelled rows without an answer, `n_classes` true classes and
        `n_known` / `n_unknown` among the n; `accuracy`; `macro_precision`, `macro_recall`, `macro_f1` over the classes
        that are present in the truth, undefined for fewer than two; `auroc`, `eer`, `fpr_at_95_tpr` of unknown against
        known by `unknown_score`, undefined when one side is empty; `accuracy_all`.
    """
    scored = labelled.where(labelled.answered)
    confusion = m.confusion_matrix(scored.truth, scored.answer, len(scorer.classes))
    unknown = scorer.is_unknown(scored)
    right = np.array([confusion.trace(), len(labelled) - confusion.trace()])
    row: dict[str, Any] = {
        "n": len(scored),
        "n_errors": len(labelled) - len(scored),
        "n_classes": int((confusion.sum(1) > 0).sum()),
        "n_known": int((~unknown).sum()),
        "n_unknown": int(unknown.sum()),
    }
    resampled = m.resample_counts(confusion, scorer.bootstrap, scorer.rng)
    row |= with_limits(m.macro_scores(confusion), m.macro_scores(resampled))
    row |= _detection(scored.unknown_score, unknown, scorer)
    drawn = m.resample_counts(right, scorer.bootstrap, scorer.rng)
    all_scores = [{"accuracy_all": c[..., 0] / np.maximum(1, c.sum(-1))} for c in (right, drawn)]
    return row | (with_limits(*all_scores) if len(labelled) else dict.fromkeys(limit_names("accuracy_all"), np.nan))


def _detection(score: np.ndarray, unknown: np.ndarray, scorer: Scorer) -> dict[str, Any]:
    counts = m.score_counts(score, unknown)
    drawn = counts.merged(INTERVAL_SCORE_STEPS).resample(scorer.bootstrap, scorer.rng)
    if not len(score):
        return {name: np.nan for score_name in m.DETECTION_SCORES for name in limit_names(score_name)}
    return with_limits(m.detection_scores(counts), m.detection_scores(drawn))


def limit_names(name: str) -> tuple[str, str, str]:
    """The columns of a score: its own, and those of its lower and upper limit."""
    return name, f"{name}_low", f"{name}_high"


def with_limits(estimates: dict[str, Any], samples: dict[str, np.ndarray]) -> dict[str, Any]:
    """Each estimate with the limits of its 95 % interval over the resampled scores ``[R]`` of the same name."""
    out: dict[str, Any] = {}
    for name, estimate in estimates.items():
        # A resample of a group where the score is not defined may define it; the group still has no score.
        limits = m.interval(samples[name]) if np.isfinite(estimate) else (np.nan, np.nan)
        out |= dict(zip(limit_names(name), map(float, (estimate, *limits)), strict=True))
    return out


def group_scores(labelled: Rows, columns: list[str], scorer: Scorer) -> pd.DataFrame:
    """One `score_row` per value of each column, with `column` and `value` (null: not given) in front."""
    out = []
    for column in columns:
        for value, here in sorted_values(labelled.columns[column]):
            out.append({"column": column, "value": value, **score_row(labelled.where(here), scorer)})
    empty = score_row(labelled.where(np.zeros(len(labelled), bool)), scorer)
    return pd.DataFrame(out, columns=["column", "value", *empty])


def sorted_values(values: pd.Series) -> Iterator[tuple[Any, np.ndarray]]:
    """Each value of a column (null: not given) with the boolean ``[N]`` of its rows, numbers by size, null last."""
    for value in sorted(values.unique(), key=_natural):
        mask = values.isna() if pd.isna(value) else values == value
        yield None if pd.isna(value) else value, mask.to_numpy(bool)


def _natural(value: Any) -> tuple[bool, list[tuple[float, str]]]:
    """Sort key: numbers by size wherever they stand in a text (s2 before s10), what is not given last."""
    if pd.isna(value):
        return True, []
    parts = re.split(r"(\d+)", str(value))
    return False, [(float(p), "") if i % 2 else (-1.0, p) for i, p in enumerate(parts)]


def generator_scores(scored: Rows, scorer: Scorer) -> pd.DataFrame:
    """Each generator of unknown speech against all known speech; `accuracy` is the share answered as unknown."""
    out = []
    names = ["generator", "n", "n_known", *limit_names("accuracy")]
    names += [name for score in m.DETECTION_SCORES for name in limit_names(score)]
    if scorer.unknown is not None and "generator" in scored.columns:
        unknown = scorer.is_unknown(scored)
        generator = scored.columns["generator"]
        for value in sorted(generator[unknown].dropna().unique(), key=_natural):
            this = unknown & (generator == value).to_numpy(bool)
            right = int((scored.answer[this] == scorer.unknown).sum())
            cells = np.array([right, this.sum() - right])
            drawn = m.resample_counts(cells, scorer.bootstrap, scorer.rng)
            row = {"generator": value, "n": int(this.sum()), "n_known": int((~unknown).sum())}
            row |= with_limits({"accuracy": right / this.sum()}, {"accuracy": drawn[:, 0] / this.sum()})
            against = this | ~unknown
            out.append(row | _detection(scored.unknown_score[against], this[against], scorer))
    return pd.DataFrame(out, columns=names)


def generator_frame(labelled: Rows, scorer: Scorer) -> pd.DataFrame:
    """Table `generators`: each generator of each true class, known or not, and what it is most often taken for.

    `n` labelled and answered tracks, `n_errors` labelled ones without an answer, `accuracy` with Wilson's limits (many
    generators have few tracks, all of them right), `wrong_answer` the most frequent wrong class and `n_wrong_answer`
    its tracks; null and 0 when no answer is wrong. Without a column `generator` there are no rows.
    """
    names = ["generator", "truth", "n", "n_errors", *limit_names("accuracy"), "wrong_answer", "n_wrong_answer"]
    out = []
    for value, here in sorted_values(labelled.columns["generator"]) if "generator" in labelled.columns else ():
        for truth in np.unique(labelled.truth[here]):
            rows = labelled.where(here & (labelled.truth == truth))
            answers = np.bincount(rows.answer[rows.answered], minlength=len(scorer.classes))
            n, right = int(answers.sum()), int(answers[truth])
            wrong = np.where(np.arange(len(answers)) == truth, 0, answers)
            often = int(wrong.argmax())
            low, high = m.wilson_interval(right, n)
            limits = (right / n if n else np.nan, float(low), float(high))
            row = {"generator": value, "truth": scorer.classes[truth], "n": n, "n_errors": len(rows) - n}
            row |= dict(zip(limit_names("accuracy"), limits, strict=True))
            row |= {
                "wrong_answer": scorer.classes[often] if wrong[often] else None,
                "n_wrong_answer": int(wrong[often]),
            }
            out.append(row)
    return pd.DataFrame(out, columns=names)


def class_table(confusion: np.ndarray, rows: Rows, scorer: Scorer) -> pd.DataFrame:
    """Precision, recall and F1 of each class, from the confusion matrix ``[C, C]`` of the labelled answered `rows`.

    `n` true tracks of the class, `answers` tracks that were given it; `answers_unlabelled` counts unlabelled ones.
    """
    n_classes = len(scorer.classes)
    drawn = m.resample_counts(confusion, scorer.bootstrap, scorer.rng)
    unlabelled = rows.answer[~rows.labelled & rows.answered]
    frame = pd.DataFrame(
        {
            "index": np.arange(n_classes),
            "class": list(scorer.classes),
            "n": confusion.sum(1),
            "answers": confusion.sum(0),
            "answers_unlabelled": np.bincount(unlabelled, minlength=n_classes),
        }
    )
    scores = zip(("precision", "recall", "f1"), m.class_scores(confusion), m.class_scores(drawn), strict=True)
    for name, estimate, samples in scores:
        limits = np.where(np.isfinite(estimate), m.interval(samples), np.nan)
        for column, values in zip(limit_names(name), (estimate, *limits), strict=True):
            frame[column] = values
    return frame
