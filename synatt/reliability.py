"""How far stated confidence can be trusted: calibration errors and proper scores, of all tracks and of each group.

Dimension letters as in `synatt.metrics`; G cells, that is groups of rows within a bin that are alike.
"""

from typing import Any

import numpy as np
import pandas as pd

from synatt import metrics as m
from synatt.scored import Rows
from synatt.scoring import Scorer, limit_names, sorted_values, with_limits

CALIBRATION_BINS = 15
# Intervals are taken on so many cells a bin and steps of a loss; estimates are taken on every row.
CELLS_PER_BIN = 8
LOSS_STEPS = 256
# A float32 probability cannot be told from 1 by less; a log of 0 would leave the mean undefined.
LEAST_P = float(np.finfo(np.float32).eps)
SCORES = ("ece", "adaptive_ece", "brier", "nll")
COLUMNS = ("column", "value", "n", "accuracy", "mean_confidence", "ece_if_calibrated")


def calibration_frame(scored: Rows, columns: list[str], scorer: Scorer) -> pd.DataFrame:
    """Table `calibration`: `calibration_row` of all tracks (`column` and `value` null), and of each group."""
    out = [{"column": None, "value": None, **calibration_row(scored, scorer)}]
    for column in columns:
        for value, here in sorted_values(scored.columns[column]):
            out.append({"column": column, "value": value, **calibration_row(scored.where(here), scorer)})
    return pd.DataFrame(out, columns=[*COLUMNS, *(name for score in SCORES for name in limit_names(score))])


def reliability_frame(scored: Rows, columns: list[str]) -> pd.DataFrame:
    """Table `reliability_by`: the `reliability` bins of each group that has a scored track."""
    out = []
    for column in columns:
        for value, here in sorted_values(scored.columns[column]):
            rows = scored.where(here)
            bins = pd.DataFrame(m.reliability(rows.confidence, rows.truth == rows.answer, CALIBRATION_BINS))
            out.append(bins.assign(column=column, value=value))
    names = ["column", "value", "low", "high", "n", "confidence", "accuracy"]
    return pd.concat(out, ignore_index=True)[names] if out else pd.DataFrame(columns=names)


def calibration_row(scored: Rows, scorer: Scorer) -> dict[str, Any]:
    """Calibration of some scored rows; everything but `n` is NaN when there are none.

    Returns:
        `n`, `accuracy`, `mean_confidence`; `ece` over 15 bins of equal width (Guo et al. 2017, eq. 3) and
        `adaptive_ece` over 15 bins of about equally many rows (Nguyen & O'Connor 2015); `ece_if_calibrated`, the mean
        `ece` of answers that are right exactly as often as their confidence says: so much is due to the number of
        rows alone; `brier`, the squared distance of the probabilities from the truth, 0..2 (Brier 1950), and `nll`,
        the mean negative log-probability of the true class. The four scores have `_low` and `_high`.
    """
    n = len(scored)
    names = [name for score in SCORES for name in limit_names(score)]
    if not n:
        return {"n": 0, **dict.fromkeys((*COLUMNS[3:], *names), np.nan)}
    right = scored.truth == scored.answer
    gap = scored.confidence - right
    p = scored.p.astype(np.float64)
    true_p = p[np.arange(n), scored.truth]
    widths, sizes = equal_width_bins(scored.confidence), equal_size_bins(scored.confidence)
    row: dict[str, Any] = {"n": n, "accuracy": right.mean(), "mean_confidence": scored.confidence.mean()}
    row["ece_if_calibrated"] = error_if_calibrated(widths, scored.confidence, scorer)
    for name, bins in (("ece", widths), ("adaptive_ece", sizes)):
        drawn = resampled_error(bins, gap, scorer)
        row |= with_limits({name: calibration_error(bins, gap)}, {name: drawn})
    losses = {
        "brier": (p**2).sum(1) - 2 * true_p + 1,
        "nll": -np.log(np.maximum(true_p, LEAST_P)),
    }
    for name, loss in losses.items():
        row |= with_limits({name: loss.mean()}, {name: resampled_mean(loss, scorer)})
    return row


def equal_width_bins(confidence_N: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """int64 ``[N]``: the bin ``(b/B, (b+1)/B]`` of each row, as `metrics.reliability` has them."""
    return np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)


def equal_size_bins(confidence_N: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """int64 ``[N]``: bins of about equally many rows; rows of equal confidence share theirs."""
    first = np.searchsorted(np.sort(confidence_N), confidence_N)
    return first * bins // max(1, len(confidence_N))


def calibration_error(bin_N: np.ndarray, gap_N: np.ndarray) -> float:
    """Mean over the rows of the distance of confidence and accuracy in their bin; `gap` is confidence - right."""
    return float(np.abs(np.bincount(bin_N, gap_N)).sum() / len(gap_N)) if len(gap_N) else float("nan")


def resampled_error(bin_N: np.ndarray, gap_N: np.ndarray, scorer: Scorer) -> np.ndarray:
    """float64 ``[R]``: `calibration_error` of bootstrap draws of the rows, alike gaps of a bin taken together."""
    cell_bin, n, mean = cells(bin_N, gap_N)
    drawn = m.resample_counts(n, scorer.bootstrap, scorer.rng)
    return _by_bin(drawn * mean, cell_bin) / len(gap_N)


def error_if_calibrated(bin_N: np.ndarray, confidence_N: np.ndarray, scorer: Scorer) -> float:
    """Mean `calibration_error` when each row is right with the probability it states; NaN without resamples.

    The idea of consistency resampling (Bröcker & Smith 2007, doi:10.1175/WAF993.1).
    """
    if not scorer.bootstrap:
        return float("nan")
    cell_bin, n, mean = cells(bin_N, confidence_N)
    right = scorer.rng.binomial(n, np.clip(mean, 0.0, 1.0), size=(scorer.bootstrap, len(n)))
    return float(_by_bin(n * mean - right, cell_bin).mean() / len(bin_N))


def resampled_mean(value_N: np.ndarray, scorer: Scorer) -> np.ndarray:
    """float64 ``[R]``: the mean of bootstrap draws of the rows, neighbouring values taken together."""
    _, n, mean = cells(np.zeros(len(value_N), np.int64), value_N, LOSS_STEPS)
    return np.asarray(m.resample_counts(n, scorer.bootstrap, scorer.rng) @ mean / len(value_N))


def cells(
    bin_N: np.ndarray, value_N: np.ndarray, most: int = CELLS_PER_BIN
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a bin with alike values together, at most `most` cells a bin: bin, rows and mean value, ``[G]`` each."""
    order = np.lexsort([value_N, bin_N])
    sizes = np.bincount(bin_N)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    key = bin_N[order] * most + rank * most // sizes[bin_N[order]]
    first = np.unique(key, return_index=True)[1]
    n = np.diff(np.append(first, len(key)))
    return bin_N[order][first], n, np.add.reduceat(value_N[order].astype(np.float64), first) / n


def _by_bin(sums_RG: np.ndarray, cell_bin_G: np.ndarray) -> np.ndarray:
    """float64 ``[R]``: absolute sums over each bin's cells, added up; cells lie in the order of their bins."""
    first = np.unique(cell_bin_G, return_index=True)[1]
    return np.asarray(np.abs(np.add.reduceat(sums_RG, first, axis=1)).sum(1))
