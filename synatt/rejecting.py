"""Thresholds chosen on one half of the labelled tracks and measured on the other, so that the rates are honest.

A threshold is the best of many on the rows it was chosen on: its error there is too low. `half` says where the rates
were measured: 'first' (chosen on the second), 'second' (chosen on the first), or 'both', the two taken together. The
threshold of 'both' is chosen on all rows: it is the one to use, and the rates say what to expect of it.
"""

from typing import Any

import numpy as np
import pandas as pd

from synatt import metrics as m
from synatt.scored import Rows
from synatt.scoring import Scorer, limit_names

ERROR_RATE = 0.05
REJECT = ("half", "wanted", "threshold", "n_chosen_on", "n", "n_accepted", "n_wrong")
UNKNOWN = ("half", "wanted", "threshold", "n_chosen_on", "n_known", "n_false_alarms", "n_unknown", "n_found")


def first_half(strata_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boolean ``[N]``: a random half of the rows of each stratum; an odd row goes to either side by chance."""
    out = np.zeros(len(strata_N), bool)
    for stratum in np.unique(strata_N):
        rows = rng.permutation(np.flatnonzero(strata_N == stratum))
        out[rows[: (len(rows) + rng.integers(2)) // 2]] = True
    return out


def accepting_threshold(confidence_N: np.ndarray, wrong_N: np.ndarray, wanted: float) -> float:
    """The smallest confidence such that of the rows at or above it at most `wanted` are wrong; NaN if none is."""
    counts = m.score_counts(confidence_N, np.asarray(wrong_N, bool))
    wrong, accepted = np.cumsum(counts.positive), np.cumsum(counts.positive + counts.negative)
    # The slack lets a rate like 0.05 be met by 1 of 20, whatever its last binary digit.
    good = np.flatnonzero(wrong <= wanted * accepted * (1 + 1e-12))
    return float(counts.threshold[good[-1]]) if len(good) else float("nan")


def alarm_threshold(known_score_N: np.ndarray, wanted: float) -> float:
    """The smallest score among known rows such that at most `wanted` of them are at or above it.

    Just above all of them when even the highest is too many; NaN without rows.
    """
    if not len(known_score_N):
        return float("nan")
    counts = m.score_counts(known_score_N, np.zeros(len(known_score_N), bool))
    flagged = np.cumsum(counts.negative)
    good = np.flatnonzero(flagged <= wanted * len(known_score_N) * (1 + 1e-12))
    return float(counts.threshold[good[-1]] if len(good) else np.nextafter(counts.threshold[0], np.inf))


def reject_frame(scored: Rows, wanted: float, scorer: Scorer) -> pd.DataFrame:
    """Table `reject`: thresholds of the confidence above which answers are accepted.

    `n` rows measured on; `coverage`, the share accepted of them; `error`, the share wrong of those accepted. Both
    have Wilson's limits. No rows at all when nothing was scored.
    """
    half = first_half(scored.truth, scorer.rng)
    wrong = scored.truth != scored.answer
    rows: list[dict[str, Any]] = []
    for name, measured in (("first", half), ("second", ~half)):
        threshold = accepting_threshold(scored.confidence[~measured], wrong[~measured], wanted)
        accepted = measured & (scored.confidence >= threshold)
        chosen_on = int((~measured).sum())
        # Where there was nothing to choose on, nothing is measured.
        counts = {"n": int(measured.sum()) if chosen_on else 0, "n_accepted": int(accepted.sum())}
        counts |= {"n_chosen_on": chosen_on, "n_wrong": int((accepted & wrong).sum())}
        rows.append({"half": name, "threshold": threshold, **counts})
    whole = accepting_threshold(scored.confidence, wrong, wanted)
    rows.append({"half": "both", "threshold": whole, "n_chosen_on": len(scored), **_sums(rows, REJECT[4:])})
    for row in rows:
        row.update(wanted=wanted)
        row.update(_share("coverage", row["n_accepted"], row["n"]))
        row.update(_share("error", row["n_wrong"], row["n_accepted"]))
    names = [*REJECT, *limit_names("coverage"), *limit_names("error")]
    return pd.DataFrame(rows if len(scored) else [], columns=names)


def unknown_threshold_frame(scored: Rows, wanted: float, scorer: Scorer) -> pd.DataFrame:
    """Table `unknown_threshold`: thresholds of the unknown score at or above which a track is flagged as unknown.

    `false_alarm`, the share flagged of the `n_known`; `found`, the share flagged of the `n_unknown`. Both have
    Wilson's limits. No rows at all when no scored row is of a known algorithm, or the classes have no unknown one.
    """
    unknown = scorer.is_unknown(scored)
    half = first_half(scored.truth, scorer.rng)
    rows: list[dict[str, Any]] = []
    for name, measured in (("first", half), ("second", ~half)):
        chosen_on = scored.unknown_score[~measured & ~unknown]
        threshold = alarm_threshold(chosen_on, wanted)
        flagged = scored.unknown_score >= threshold
        row: dict[str, Any] = {"half": name, "threshold": threshold, "n_chosen_on": len(chosen_on)}
        for side, hits, mask in (("n_known", "n_false_alarms", ~unknown), ("n_unknown", "n_found", unknown)):
            # Where there was nothing to choose on, nothing is measured.
            row |= {side: int((measured & mask).sum()) if len(chosen_on) else 0}
            row |= {hits: int((measured & mask & flagged).sum())}
        rows.append(row)
    whole = alarm_threshold(scored.unknown_score[~unknown], wanted)
    both = {"half": "both", "threshold": whole, "n_chosen_on": int((~unknown).sum()), **_sums(rows, UNKNOWN[4:])}
    rows.append(both)
    for row in rows:
        row.update(wanted=wanted)
        row.update(_share("false_alarm", row["n_false_alarms"], row["n_known"]))
        row.update(_share("found", row["n_found"], row["n_unknown"]))
    names = [*UNKNOWN, *limit_names("false_alarm"), *limit_names("found")]
    defined = scorer.unknown is not None and not unknown.all()
    return pd.DataFrame(rows if defined else [], columns=names)


def _sums(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in names}


def _share(name: str, hits: int, n: int) -> dict[str, float]:
    """The share with Wilson's limits, NaN where there is nothing to share."""
    low, high = m.wilson_interval(hits, n)
    return dict(zip(limit_names(name), (hits / n if n else np.nan, float(low), float(high)), strict=True))
