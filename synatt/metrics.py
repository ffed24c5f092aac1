"""Numbers from rows: confusion, macro scores, detection of the unknown, calibration, bootstrap intervals.

Dimension letters: N rows, C classes, B calibration bins, K score steps, R bootstrap resamples; ``...`` stands for any
leading dimensions. The scores work on whole stacks of confusion matrices and of score counts, so that one call scores
every resample; scikit-learn has them for one set of rows only (the tests hold these equal to scikit-learn's).
"""

from dataclasses import dataclass

import numpy as np

INTERVAL = 0.95
MACRO_SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
DETECTION_SCORES = ("auroc", "eer", "fpr_at_95_tpr")


def confusion_matrix(truth_N: np.ndarray, answer_N: np.ndarray, n_classes: int) -> np.ndarray:
    """int64 ``[C, C]``: rows of true class i that were answered as class j. Classes are indices in ``0..C-1``."""
    cells = np.asarray(truth_N, np.int64) * n_classes + np.asarray(answer_N, np.int64)
    return np.bincount(cells, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def class_scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class, float64 ``[..., C]`` each, from confusion matrices ``[..., C, C]``.

    A class that is absent from the truth has NaN in all three: it was not tested. A class that is in the truth but
    was never answered has precision 0 (scikit-learn's ``zero_division=0``).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    true, answered = confusion.sum(-1), confusion.sum(-2)
    present = true > 0
    precision = np.where(present, _ratio(hits, answered, empty=0.0), np.nan)
    recall = _ratio(hits, true)
    f1 = np.where(present, _ratio(2 * hits, true + answered, empty=0.0), np.nan)
    return precision, recall, f1


def macro_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """`MACRO_SCORES` of confusion matrices ``[..., C, C]``, float64 ``[...]`` each.

    The macro scores are plain means over the classes that are present in the truth. They are NaN when fewer than two
    are: with one true class precision is 1 whatever was answered. Accuracy is NaN for an empty matrix only.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    accuracy = _ratio(hits, confusion.sum((-2, -1)))
    n_present = (confusion.sum(-1) > 0).sum(-1)
    means = [_ratio(np.nansum(s, -1), np.where(n_present > 1, n_present, 0)) for s in class_scores(confusion)]
    return dict(zip(MACRO_SCORES, [accuracy, *means], strict=True))


def resample_counts(counts: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """int64 ``[R, *counts.shape]``: `counts` as `resamples` bootstrap draws of its rows would give them.

    Drawing n rows with replacement and counting them by cell is one draw of a multinomial with n trials and the
    cells' shares; drawing that directly costs the number of cells, not of rows, and is not an approximation.
    """
    total = int(counts.sum())
    if not total:
        return np.zeros((resamples, *counts.shape), np.int64)
    return rng.multinomial(total, counts.ravel() / total, size=resamples).reshape(resamples, *counts.shape)


def interval(samples: np.ndarray, level: float = INTERVAL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval over the first axis (Efron & Tibshirani 1993, 13.3), NaN samples left out.

    Returns:
        Lower and upper limit, each of the remaining shape; NaN where no sample is finite.
    """
    limits = np.full((2, *samples.shape[1:]), np.nan)
    defined = np.isfinite(samples).any(0) if len(samples) else np.zeros(samples.shape[1:], bool)
    if defined.any():
        edges = [(1 - level) / 2, (1 + level) / 2]
        limits[:, defined] = np.nanquantile(samples[:, defined], edges, axis=0)
    return limits[0], limits[1]


@dataclass(frozen=True)
class ScoreCounts:
    """How many positives and negatives stand at each distinct score, highest score first.

    Attributes:
        threshold: float64 ``[K]``; rows at this score or above are flagged.
        positive, negative: int64 ``[K]``, or ``[R, K]`` after resampling.
    """

    threshold: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def resample(self, resamples: int, rng: np.random.Generator) -> "ScoreCounts":
        """`resamples` bootstrap draws of the rows."""
        drawn = resample_counts(np.stack([self.positive, self.negative]), resamples, rng)
        return ScoreCounts(self.threshold, drawn[:, 0], drawn[:, 1])

    def merged(self, steps: int) -> "ScoreCounts":
        """At most about `steps` scores: neighbours are merged into steps of equally many rows."""
        if len(self.threshold) <= steps:
            return self
        rows = self.positive + self.negative
        before = np.cumsum(rows) - rows
        first = np.unique(before * steps // max(1, int(rows.sum())), return_index=True)[1]
        last = np.append(first[1:], len(rows)) - 1
        return ScoreCounts(
            self.threshold[last], np.add.reduceat(self.positive, first), np.add.reduceat(self.negative, first)
        )


def score_counts(score_N: np.ndarray, positive_N: np.ndarray) -> ScoreCounts:
    """Counts by distinct score, from scores (higher = more like a positive) and a boolean mask of the positives."""
    threshold, step = np.unique(np.asarray(score_N, np.float64), return_inverse=True)
    positive = np.bincount(step, weights=positive_N, minlength=len(threshold)).astype(np.int64)
    rows = np.bincount(step, minlength=len(threshold))
    return ScoreCounts(threshold[::-1], positive[::-1], (rows - positive)[::-1])


def roc_curve(counts: ScoreCounts) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates as the threshold falls, float64 ``[..., K + 1]``, from (0, 0) to (1, 1).

    Both are NaN where positives or negatives are missing altogether.
    """
    true, false = (np.cumsum(c, -1) for c in (counts.positive, counts.negative))
    if not len(counts.threshold):
        return np.full(1, np.nan), np.full(1, np.nan)
    one_sided = (true[..., -1:] == 0) | (false[..., -1:] == 0)
    rates = []
    for cumulated in (false, true):
        rate = np.where(one_sided, np.nan, _ratio(cumulated, cumulated[..., -1:]))
        rates.append(np.concatenate([np.where(one_sided, np.nan, 0.0), rate], -1))
    return rates[0], rates[1]


def auroc(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Area under ROC curves ``[..., K + 1]`` by trapezia; equals the Mann-Whitney statistic, ties counted half."""
    return (np.diff(fpr, axis=-1) * (tpr[..., 1:] + tpr[..., :-1]) / 2).sum(-1) + 0 * fpr[..., 0]


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Error rate at which false alarms equal misses on ROC curves ``[..., K + 1]``, points joined linearly."""
    return _crossing(1 - tpr - fpr, fpr)


def fpr_at_tpr(fpr: np.ndarray, tpr: np.ndarray, wanted: float = 0.95) -> np.ndarray:
    """False positive rate at the first operating point that finds at least `wanted` of the positives."""
    reached = np.argmax(tpr >= wanted - 1e-12, axis=-1)
    found = np.take_along_axis(fpr, np.expand_dims(reached, -1), -1)[..., 0]
    return np.where(np.isnan(tpr[..., -1]), np.nan, found)


def detection_scores(counts: ScoreCounts) -> dict[str, np.ndarray]:
    """`DETECTION_SCORES` of positives against negatives; NaN where one side is empty."""
    fpr, tpr = roc_curve(counts)
    return dict(zip(DETECTION_SCORES, [auroc(fpr, tpr), equal_error_rate(fpr, tpr), fpr_at_tpr(fpr, tpr)], strict=True))


def _crossing(falling: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Where `falling` ``[..., K]`` (from above to at most 0) crosses 0, read off `along`, both taken as linear."""
    after = np.argmax(falling <= 0, axis=-1)
    at = np.stack([np.maximum(after - 1, 0), after], -1)
    d, x = np.take_along_axis(falling, at, -1), np.take_along_axis(along, at, -1)
    drop = d[..., 0] - d[..., 1]
    share = np.divide(d[..., 0], drop, out=np.zeros_like(drop), where=drop > 0)
    return np.where(np.isnan(falling[..., -1]), np.nan, x[..., 0] + share * (x[..., 1] - x[..., 0]))


def reliability(confidence_N: np.ndarray, correct_N: np.ndarray, bins: int = 15) -> dict[str, np.ndarray]:
    """Bins of equal width ``(b/B, (b+1)/B]`` over the confidence (Guo et al. 2017, arXiv:1706.04599).

    Returns:
        ``[B]`` each: `low`, `high`, `n`, mean `confidence` and `accuracy` (both NaN in an empty bin).
    """
    confidence = np.asarray(confidence_N, np.float64)
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    n = np.bincount(which, minlength=bins)
    edges = np.arange(bins + 1) / bins
    return {
        "low": edges[:-1],
        "high": edges[1:],
        "n": n,
        "confidence": _ratio(np.bincount(which, confidence, bins), n),
        "accuracy": _ratio(np.bincount(which, correct_N, bins), n),
    }


def expected_calibration_error(bins: dict[str, np.ndarray]) -> float:
    """Mean distance of confidence and accuracy over the rows of `reliability` bins (Guo et al. 2017, eq. 3)."""
    n = bins["n"]
    if not n.sum():
        return float("nan")
    return float(np.nansum(n * np.abs(bins["accuracy"] - bins["confidence"])) / n.sum())


def coverage_curve(confidence_N: np.ndarray, correct_N: np.ndarray, points: int = 200) -> dict[str, np.ndarray]:
    """Accuracy over the most confident share of the rows, as the least confidence that is accepted falls.

    Rows of equal confidence enter together. At most about `points` points, the last one with every row.

    Returns:
        `min_confidence`, `coverage` (share of rows accepted) and `accuracy`, float64 each.
    """
    counts = score_counts(confidence_N, np.asarray(correct_N, bool)).merged(points)
    accepted = np.cumsum(counts.positive + counts.negative)
    total = accepted[-1] if len(accepted) else 0
    return {
        "min_confidence": counts.threshold,
        "coverage": _ratio(accepted, np.full_like(accepted, total)),
        "accuracy": _ratio(np.cumsum(counts.positive), accepted),
    }


def wilson_interval(hits: np.ndarray | int, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """95 % limits of a share `hits` / `n` (Wilson 1927, JASA 22:209); NaN where `n` is 0.

    Unlike the bootstrap, it has a width where none or all of the rows are hits.
    """
    z = 1.959964  # the standard normal's 0.975 quantile
    share = _ratio(np.asarray(hits), np.asarray(n))
    n = np.where(np.asarray(n) > 0, n, np.nan)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not move a limit past the share itself.
    return np.minimum(share, np.maximum(0.0, middle - half)), np.maximum(share, np.minimum(1.0, middle + half))


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = float("nan")) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, empty), where=whole > 0)
