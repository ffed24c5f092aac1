"""Predictions and true labels -> metrics and tables. No plotting; `synatt.report` draws what stands here.

How rows count. A track is *labelled* when a true class is known for it and *answered* when its recording could be
scored. All scores are over tracks that are both, except `accuracy_all`, which is over all labelled tracks and takes
'no answer' for wrong. Unlabelled tracks, tracks without an answer and labels without a prediction are counts, apart.

`metrics.json` (`Evaluation.metrics`; a number that is not defined is null):
    version, run (ids), classes (names in index order), unknown_class (name or null)
    settings: predictions, labels (paths), by (columns), bootstrap, seed, interval (0.95)
    counts: predictions = answered + errors; predictions = labelled + unlabelled; labelled = labelled_answered +
        labelled_errors; unlabelled = unlabelled_answered + unlabelled_errors; labels (tracks with a true class in the
        label tables), labels_without_prediction
    errors: kind -> predictions without an answer
    overall: a score row, see `synatt.scoring.score_row`
    per_class: one row per class (table `per_class`)
    groups: column -> score rows with `value` (table `groups`)
    unknown_generators: one row per generator of unknown speech against all known speech
    calibration: n, ece, mean_confidence, bins
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
from synatt.errors import UsageError
from synatt.recipe import UNKNOWN
from synatt.scored import Rows, join, read_predictions
from synatt.scoring import Scorer, class_table, generator_scores, group_scores, score_row
from synatt.truth import Labels, read_labels

# Columns by which scores are split when none is asked for, the first one leading.
GROUP_COLUMNS = ("perturbation", "part", "split", "source", "generator", "speaker", "voice", "level")
GROUP_VALUES = range(2, 51)
GROUP_TITLES = {"macro_f1": "macro F1", "accuracy": "accuracy"}
CALIBRATION_BINS = 15
CURVE_POINTS = 1000
LISTED_CLIPS = 50
LISTED_CONFUSIONS = 20
TEXT_COLUMNS: tuple[str, ...] = (
    "answer",
    "class",
    "column",
    "error",
    "example",
    "example_track",
    "generator",
    "kind",
    "path",
)
TEXT_COLUMNS += ("second", "track", "truth", "value")


class GroupColumnError(UsageError):
    """A column to group by is not there."""


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        metrics: plain values, ready for JSON; the module's docstring lists the keys.
        tables: name -> Arrow table: `per_class`, `confusion`, `most_confused`, `groups`, `unknown_generators`,
            `errors`, `roc`, `unknown_scores`, `reliability`, `coverage`, `most_uncertain`, `confident_mistakes`.
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
) -> Evaluation:
    """Score the predictions in the tables `predictions` against the true labels in the tables `labels`.

    Args:
        predictions: Parquet files or folders of them.
        labels: CSV, JSONL or Parquet files or manifest folders; none at all leaves every track unlabelled.
        by: columns of the labels (or predictions) to split scores by; None takes those of `GROUP_COLUMNS` that have
            2 to 50 values among the labelled tracks.
        bootstrap: resamples of the tracks behind the 95 % intervals; 0 gives none.
        seed: of the bootstrap.

    Raises:
        UsageError: a subclass that says which file, column, track or label is wrong.
    """
    table, classes = read_predictions(predictions)
    truth = read_labels(labels, classes)
    settings = {"predictions": list(predictions), "labels": list(labels), "bootstrap": bootstrap, "seed": seed}
    return evaluate_rows(join(table, classes, truth), truth, classes, by=by, settings=settings)


def evaluate_rows(
    rows: Rows, labels: Labels, classes: tuple[str, ...], *, by: Sequence[str] | None, settings: dict[str, Any]
) -> Evaluation:
    """`evaluate` on tables already read; `settings` gives `bootstrap` and `seed` and is kept in the metrics."""
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
    groups = {c: _records(frames["groups"].query("column == @c").drop(columns="column")) for c in columns}
    metrics = {
        "version": 1,
        "run": sorted({r for r in rows.run if r is not None}),
        "classes": list(classes),
        "unknown_class": UNKNOWN if scorer.unknown is not None else None,
        "settings": {**settings, "by": columns, "interval": m.INTERVAL},
        "counts": _counts(rows, labels),
        "errors": dict(zip(frames["errors"]["kind"], frames["errors"]["n"].tolist(), strict=True)),
        "overall": _plain(overall),
        "per_class": _records(frames["per_class"]),
        "groups": groups,
        "unknown_generators": _records(frames["unknown_generators"]),
        "calibration": _plain(
            {
                "n": len(scored),
                "ece": m.expected_calibration_error(m.reliability(*_confidence(scored), CALIBRATION_BINS)),
                "mean_confidence": scored.confidence.mean() if len(scored) else None,
                "bins": CALIBRATION_BINS,
            }
        ),
    }
    return Evaluation(metrics, {name: _table(frame) for name, frame in frames.items()}, rows)


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


def _confidence(scored: Rows) -> tuple[np.ndarray, np.ndarray]:
    return scored.confidence, scored.truth == scored.answer


def _reliability(scored: Rows) -> pd.DataFrame:
    return pd.DataFrame(m.reliability(*_confidence(scored), CALIBRATION_BINS))


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


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for row in frame.to_dict("records")]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """Python numbers; what is not finite becomes null."""
    out = {}
    for name, found in row.items():
        value = found.item() if isinstance(found, np.generic) else found
        out[str(name)] = None if isinstance(value, float) and not np.isfinite(value) else value
    return out


def _table(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    # A column without a single value has no type of its own; the schema must not depend on the data.
    return table.cast(pa.schema([_field(field) for field in table.schema]))


def _field(field: pa.Field) -> pa.Field:
    if field.name in TEXT_COLUMNS:
        return field.with_type(pa.string())
    counts = field.name == "n" or field.name.startswith("n_")
    return field.with_type(pa.int64() if counts or pa.types.is_integer(field.type) else pa.float64())


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


def leading_score(rows: list[dict[str, Any]]) -> str:
    """The score to show for some groups: macro F1, or accuracy when one of them has a single true class."""
    return "accuracy" if any(r["n"] and r["macro_f1"] is None for r in rows) else "macro_f1"


def summary(evaluation: Evaluation, column: str | None = None) -> str:
    """A small text table: one line per value of a group column and one for all, with counts and intervals.

    Args:
        evaluation: what `evaluate` returned.
        column: the group column; None takes the first one.
    """
    metrics = evaluation.metrics
    columns = metrics["settings"]["by"]
    column = column or (columns[0] if columns else None)
    groups = metrics["groups"].get(column, [])
    name = leading_score(groups)
    lines = [[column or "tracks", "scored", "no answer", GROUP_TITLES[name], "95 % interval"]]
    for row in [*groups, {**metrics["overall"], "value": "all"}]:
        shown = "(not given)" if row["value"] is None else str(row["value"])
        limits = "n/a" if row[f"{name}_low"] is None else f"{row[f'{name}_low']:.3f} - {row[f'{name}_high']:.3f}"
        score = "n/a" if row[name] is None else f"{row[name]:.3f}"
        lines.append([shown, f"{row['n']:,}", f"{row['n_errors']:,}", score, limits])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    counts = metrics["counts"]
    if counts["unlabelled"]:
        text.append(f"{counts['unlabelled']:,} of {counts['predictions']:,} tracks have no true label: not scored")
    return "\n".join(text)
