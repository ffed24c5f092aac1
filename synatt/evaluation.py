"""Predictions and true labels -> metrics and tables. No plotting; `synatt.report` draws what stands here.

How rows count. A track is *labelled* when a true class is known for it and *answered* when its recording could be
scored. All scores are over tracks that are both, except `accuracy_all`, which is over all labelled tracks and takes
'no answer' for wrong. Unlabelled tracks, tracks without an answer and labels without a prediction are counts, apart.

`metrics.json` (`Evaluation.metrics`; a number that is not defined is null):
    version, run (ids), classes (names in index order), unknown_class (name or null)
    settings: predictions, labels, trained_on (paths), by (columns), bootstrap, seed, probe, error_rate, interval (0.95)
    counts: predictions = answered + errors; predictions = labelled + unlabelled; labelled = labelled_answered +
        labelled_errors; unlabelled = unlabelled_answered + unlabelled_errors; labels (tracks with a true class in the
        label tables), labels_without_prediction
    errors: kind -> predictions without an answer
    overall: a score row, see `synatt.scoring.score_row`
    per_class: one row per class (table `per_class`)
    groups: column -> score rows with `value` (table `groups`)
    unknown_generators: one row per generator of unknown speech against all known speech
    overlap, probe, calibration, reject, unknown_threshold, generators: see `synatt.scrutiny`
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from synatt import metrics as m
from synatt import storage
from synatt.constants import UNKNOWN
from synatt.errors import UsageError
from synatt.probe import PROBE_CLIPS
from synatt.rejecting import ERROR_RATE
from synatt.reliability import CALIBRATION_BINS
from synatt.scored import Rows, join, read_predictions
from synatt.scoring import Scorer, class_table, generator_scores, group_scores, score_row
from synatt.scrutiny import scrutinise
from synatt.tidy import plain, records, to_arrow
from synatt.trained import Trained, read_trained
from synatt.truth import Labels, read_labels

# Columns by which scores are split when none is asked for, the first one leading.
GROUP_COLUMNS = ("perturbation", "part", "split", "source", "generator", "speaker", "voice", "level")
GROUP_VALUES = range(2, 51)
CURVE_POINTS = 1000
LISTED_CLIPS = 50
LISTED_CONFUSIONS = 20


class GroupColumnError(UsageError):
    """A column to group by is not there."""


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        metrics: plain values, ready for JSON; the module's docstring lists the keys.
        tables: name -> Arrow table: `per_class`, `confusion`, `most_confused`, `groups`, `unknown_generators`,
            `errors`, `roc`, `unknown_scores`, `reliability`, `coverage`, `most_uncertain`, `confident_mistakes`,
            and those of `synatt.scrutiny`.
        rows: what all of it was counted over.
    """

    metrics: dict[str, Any]
    tables: dict[str, pa.Table]
    rows: Rows


def evaluate(
    predictions: Sequence[str],
    labels: Sequence[str] = (),
    *,
    by: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    trained_on: Sequence[str] = (),
    probe: int = PROBE_CLIPS,
    error_rate: float = ERROR_RATE,
) -> Evaluation:
    """Score the predictions in the tables `predictions` against the true labels in the tables `labels`.

    Args:
        predictions: Parquet files or folders of them.
        labels: CSV, JSONL or Parquet files or manifest folders; none at all leaves every track unlabelled.
        by: columns of the labels (or predictions) to split scores by; None takes those of `GROUP_COLUMNS` that have
            2 to 50 values among the labelled tracks.
        bootstrap: resamples of the tracks behind the 95 % intervals; 0 gives none.
        seed: of the bootstrap, of the halves that thresholds are chosen on, and of the probe's sample.
        trained_on: manifests (or tables like `labels`) with the rows that the models were trained on, to be compared
            with the evaluated ones; see `synatt.trained`.
        probe: recordings that are read to see how far shortcuts alone get; 0: none; see `synatt.probe`.
        error_rate: wanted share of wrong answers among those accepted, and of known tracks flagged as unknown.

    Raises:
        UsageError: a subclass that says which file, column, track or label is wrong.
    """
    table, classes = read_predictions(predictions)
    truth = read_labels(labels, classes)
    trained = read_trained(trained_on, classes) if trained_on else None
    settings: dict[str, Any] = {"predictions": list(predictions), "labels": list(labels)}
    settings |= {"trained_on": list(trained_on)}
    settings |= {"bootstrap": bootstrap, "seed": seed, "probe": probe, "error_rate": error_rate}
    return evaluate_rows(join(table, classes, truth), truth, classes, by=by, settings=settings, trained=trained)


def evaluate_rows(
    rows: Rows,
    labels: Labels,
    classes: tuple[str, ...],
    *,
    by: Sequence[str] | None,
    settings: dict[str, Any],
    trained: Trained | None = None,
) -> Evaluation:
    """`evaluate` on tables already read; `settings` are its options of that name and are kept in the metrics."""
    scorer = Scorer(classes, settings["bootstrap"], np.random.default_rng(settings["seed"]))
    labelled = rows.where(rows.labelled)
    scored = labelled.where(labelled.answered)
    columns = _group_columns(labelled.columns, by)
    confusion = m.confusion_matrix(scored.truth, scored.answer, len(classes))
    overall = score_row(labelled, scorer)
    frames = {
        "per_class": class_table(confusion, rows, scorer),
        "confusion": _confusion(confusion, classes),
        "groups": group_scores(labelled, columns, scorer),
        "unknown_generators": generator_scores(scored, scorer),
        "errors": _errors(rows),
        "roc": _roc(scored, scorer),
        "unknown_scores": _unknown_scores(scored, scorer),
        "reliability": _reliability(scored),
        "coverage": pd.DataFrame(m.coverage_curve(scored.confidence, scored.truth == scored.answer)),
        "most_uncertain": _clips(rows.where(rows.answered), classes, ascending=True),
        "confident_mistakes": _clips(scored.where(scored.truth != scored.answer), classes, ascending=False),
    }
    frames["most_confused"] = _most_confused(frames["confusion"])
    scrutiny = scrutinise(labelled, trained, columns, scorer, settings)
    frames |= scrutiny.frames
    groups = {c: records(frames["groups"].query("column == @c").drop(columns="column")) for c in columns}
    metrics = {
        "version": 1,
        "run": sorted({r for r in rows.run if r is not None}),
        "classes": list(classes),
        "unknown_class": UNKNOWN if scorer.unknown is not None else None,
        "settings": {**settings, "by": columns, "interval": m.INTERVAL},
        "counts": _counts(rows, labels),
        "errors": dict(zip(frames["errors"]["kind"], frames["errors"]["n"].tolist(), strict=True)),
        "overall": plain(overall),
        "per_class": records(frames["per_class"]),
        "groups": groups,
        "unknown_generators": records(frames["unknown_generators"]),
        **scrutiny.metrics,
    }
    return Evaluation(metrics, {name: to_arrow(frame) for name, frame in frames.items()}, rows)


def _group_columns(columns: pd.DataFrame, by: Sequence[str] | None) -> list[str]:
    if by is None:
        return [c for c in GROUP_COLUMNS if c in columns and columns[c].nunique() in GROUP_VALUES]
    missing = [c for c in by if c not in columns]
    if missing:
        there = ", ".join(map(str, columns.columns)) or "none"
        raise GroupColumnError(f"no column {missing[0]!r} to group by; labels and predictions have {there}")
    return list(dict.fromkeys(by))


def _confusion(confusion: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    names = np.array(classes, dtype=object)
    n = confusion.ravel()
    of = np.repeat(confusion.sum(1), len(names))
    share = np.divide(n, of, out=np.full(len(n), np.nan), where=of > 0)
    return pd.DataFrame(
        {"truth": np.repeat(names, len(names)), "answer": np.tile(names, len(names)), "n": n, "share": share}
    )


def _most_confused(confusion: pd.DataFrame) -> pd.DataFrame:
    wrong = confusion[(confusion["truth"] != confusion["answer"]) & (confusion["n"] > 0)]
    return wrong.sort_values(["n", "share"], ascending=False, kind="stable").head(LISTED_CONFUSIONS)


def _errors(rows: Rows) -> pd.DataFrame:
    failed = rows.where(~rows.answered)
    frame = pd.DataFrame(
        {"kind": failed.error_kind, "labelled": failed.labelled, "track": failed.track, "error": failed.error}
    )
    grouped = frame.groupby("kind", sort=True).agg(
        n=("labelled", "size"),
        n_labelled=("labelled", "sum"),
        example_track=("track", "first"),
        example=("error", "first"),
    )
    return grouped.reset_index().sort_values("n", ascending=False, kind="stable").astype({"n": int, "n_labelled": int})


def _roc(scored: Rows, scorer: Scorer) -> pd.DataFrame:
    unknown = scorer.is_unknown(scored)
    if not unknown.any() or unknown.all():
        return pd.DataFrame({"threshold": [], "fpr": [], "tpr": []}, dtype=float)
    counts = m.score_counts(scored.unknown_score, unknown).merged(CURVE_POINTS)
    fpr, tpr = m.roc_curve(counts)
    # The curve starts above every score, where nothing is flagged.
    return pd.DataFrame({"threshold": np.append(np.nan, counts.threshold), "fpr": fpr, "tpr": tpr})


def _unknown_scores(scored: Rows, scorer: Scorer, bins: int = 40) -> pd.DataFrame:
    score = scored.unknown_score
    unknown = scorer.is_unknown(scored)
    edges = np.histogram_bin_edges(score, bins) if len(score) else np.zeros(1)
    sides = {"known": score[~unknown], "unknown": score[unknown]}
    counts = {side: np.histogram(s, edges)[0] if len(score) else np.zeros(0, int) for side, s in sides.items()}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts})


def _reliability(scored: Rows) -> pd.DataFrame:
    return pd.DataFrame(m.reliability(scored.confidence, scored.truth == scored.answer, CALIBRATION_BINS))


def _clips(rows: Rows, classes: tuple[str, ...], ascending: bool) -> pd.DataFrame:
    """The answered rows of lowest (or highest) confidence, with the runner-up class."""
    order = np.lexsort([rows.track.astype(str), rows.confidence if ascending else -rows.confidence])[:LISTED_CLIPS]
    names = np.array([*classes, None], dtype=object)  # the last one stands for UNLABELLED
    others = rows.p[order].copy()
    np.put_along_axis(others, rows.answer[order][:, None], -1.0, axis=1)
    second = others.argmax(1) if len(classes) > 1 else np.full(len(order), -1)
    return pd.DataFrame(
        {
            "track": rows.track[order],
            "truth": names[rows.truth[order]],
            "answer": names[rows.answer[order]],
            "confidence": rows.confidence[order],
            "second": names[second],
            "second_p": rows.p[order, second].astype(np.float64),
            "unknown_score": rows.unknown_score[order],
            "path": rows.path[order],
        }
    )


def _counts(rows: Rows, labels: Labels) -> dict[str, int]:
    labelled, answered = rows.labelled, rows.answered
    named = labels.track[labels.label >= 0]
    return {
        "predictions": len(rows),
        "answered": int(answered.sum()),
        "errors": int((~answered).sum()),
        "labelled": int(labelled.sum()),
        "labelled_answered": int((labelled & answered).sum()),
        "labelled_errors": int((labelled & ~answered).sum()),
        "unlabelled": int((~labelled).sum()),
        "unlabelled_answered": int((~labelled & answered).sum()),
        "unlabelled_errors": int((~labelled & ~answered).sum()),
        "labels": len(named),
        "labels_without_prediction": len(named) - int(labelled.sum()),
    }


def save(evaluation: Evaluation, output: str, further: Mapping[str, pa.Table] | None = None) -> None:
    """Write `metrics.json` and `tables/<name>.parquet` and `.csv` below the folder or URI `output`.

    Args:
        further: tables by name, written beside those of the evaluation.
    """
    for name, table in {**evaluation.tables, **(further or {})}.items():
        sink = io.BytesIO()
        pacsv.write_csv(table, sink)
        storage.write_bytes(storage.join(output, "tables", f"{name}.csv"), sink.getvalue())
        storage.write_table(storage.join(output, "tables", f"{name}.parquet"), table)
    storage.write_json(storage.join(output, "metrics.json"), evaluation.metrics)
