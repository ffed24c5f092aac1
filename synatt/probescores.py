"""How far the shortcut probe gets beside the models, on the same tracks: of all, and of each group."""

from typing import Any

import numpy as np
import pandas as pd

from synatt import metrics as m
from synatt.probe import ALL, Probe
from synatt.scored import Rows
from synatt.scoring import Scorer, limit_names, sorted_values, with_limits

COLUMNS = ("column", "value", "family", "n", "n_classes", "chance", "bar")
SCORES = ("probe_macro_f1", "models_macro_f1")


def probe_frame(scored: Rows, probe: Probe, columns: list[str], scorer: Scorer) -> pd.DataFrame:
    """Table `probe`: macro F1 of the probe and of the models on the tracks that both answered.

    Rows for all tracks (`column` and `value` null), by each family of features alone and by all of them, and for each
    value of each column by all features. `flagged` is 'yes' where the lower limit of the probe's interval lies above
    `bar`, see `bar_for`; null where there are fewer than two true classes.
    """
    out: list[dict[str, Any]] = []
    mask = np.isin(np.arange(len(scored)), probe.rows)
    sampled = scored.where(mask)
    for family, answer in probe.answers.items():
        row = _row(sampled, answer, np.ones(len(answer), bool), scorer)
        out.append({"column": None, "value": None, "family": family, **row})
    for column in columns if probe.answers else ():
        for value, here in sorted_values(sampled.columns[column]):
            row = _row(sampled, probe.answers[ALL], here, scorer)
            out.append({"column": column, "value": value, "family": ALL, **row})
    names = [name for score in SCORES for name in limit_names(score)]
    return pd.DataFrame(out, columns=[*COLUMNS, *names, "flagged"])


def bar_for(models_macro_f1: float, chance: float) -> float:
    """What the probe must surely exceed to be flagged: half of the models' way from chance to their score.

    Then at least half of what the models do better than guessing could come from shortcuts alone. Twice chance would
    flag nothing where there are two classes, and half of the models' score everything that is near chance.
    """
    return max(chance, (chance + models_macro_f1) / 2)


def _row(sampled: Rows, answer: np.ndarray, here: np.ndarray, scorer: Scorer) -> dict[str, Any]:
    truth = sampled.truth[here]
    present = len(np.unique(truth))
    # Guessing by the classes' shares gives a macro F1 of one in so many, and no blind guess more.
    row: dict[str, Any] = {"n": len(truth), "n_classes": present, "chance": 1 / present if present > 1 else np.nan}
    scores: dict[str, Any] = {}
    for name, given in zip(SCORES, (answer[here], sampled.answer[here]), strict=True):
        confusion = m.confusion_matrix(truth, given, len(scorer.classes))
        drawn = m.resample_counts(confusion, scorer.bootstrap, scorer.rng)
        found = [{name: m.macro_scores(counts)["macro_f1"]} for counts in (confusion, drawn)]
        scores |= with_limits(*found)
    row["bar"] = bar_for(scores["models_macro_f1"], row["chance"]) if present > 1 else np.nan
    low = scores["probe_macro_f1_low"]
    flagged = None if not np.isfinite(low) else "yes" if low > row["bar"] else "no"
    return row | scores | {"flagged": flagged}
