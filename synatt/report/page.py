"""An evaluation -> `plots/*.svg` and one self-contained `report.html`: no script, nothing fetched."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import pandas as pd

from synatt import storage
from synatt.evaluation import Evaluation
from synatt.looking import Looks
from synatt.report import groupplots, plots
from synatt.report.curves import Curve, read_curves
from synatt.report.looks import contexts
from synatt.report.style import css_variables
from synatt.summary import GROUP_TITLES, leading_score

REPORT_FILE = "report.html"
# More bars than this are not looked at; the tables have them all.
SHOWN_GROUPS = 40
SHOWN_CLIPS = 20


@dataclass(frozen=True)
class Plot:
    """A drawn plot: file name without suffix, SVG, and what it shows in words."""

    name: str
    svg: bytes
    alt: str

    @property
    def uri(self) -> str:
        """The plot as a ``data:`` address."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


def render(evaluation: Evaluation, output: str, curves: Sequence[str] = (), looks: Looks | None = None) -> str:
    """Write the plots and the page of `evaluation` below the folder or URI `output`.

    Args:
        evaluation: what `synatt.evaluation.evaluate` returned.
        output: `plots/*.svg` and `report.html` are written here.
        curves: model folders, folders of them, or tables with an `epoch` column, whose learning curves are drawn.
        looks: explained clips and a map of embeddings, where there are any.

    Returns:
        Where the page lies.

    Raises:
        CurveError: a path in `curves` holds no learning curve.
    """
    drawn = draw(evaluation, read_curves(curves))
    for plot in drawn.values():
        # A column may be called anything; a file may not.
        name = re.sub(r"[^\w.\-]", "_", plot.name)
        storage.write_bytes(storage.join(output, "plots", f"{name}.svg"), plot.svg)
    where = storage.join(output, REPORT_FILE)
    storage.write_text(where, page(evaluation, drawn, looks))
    return where


def page(evaluation: Evaluation, drawn: dict[str, Plot], looks: Looks | None = None) -> str:
    """The HTML page. Everything that came from data is escaped by the template engine."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("synatt.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": _score, "percent": _percent, "count": _count}
    return environment.get_template("report.html.j2").render(
        **evaluation.metrics,
        plots=drawn,
        css=css_variables(),
        leading={column: leading_score(rows) for column, rows in evaluation.metrics["groups"].items()},
        tables={name: table.to_pylist() for name, table in evaluation.tables.items() if name in _LISTED},
        **contexts(evaluation, looks),
        table_names=sorted([*evaluation.tables, *(looks.tables if looks else ())]),
        curves=[plot for name, plot in drawn.items() if name.startswith("curve_")],
        shown_groups=SHOWN_GROUPS,
        numbered_classes=plots.NUMBERED_CLASSES,
        shown_clips=SHOWN_CLIPS,
        shown_reliabilities=groupplots.SHOWN_RELIABILITIES,
    )


_LISTED = ("errors", "most_confused", "most_uncertain", "confident_mistakes")


def draw(evaluation: Evaluation, curves: Sequence[Curve] = ()) -> dict[str, Plot]:
    """Every plot for which the evaluation has rows, by name."""
    metrics = evaluation.metrics
    table = {name: t.to_pandas() for name, t in evaluation.tables.items()}
    out = [_answers(metrics)] if metrics["counts"]["answered"] else []
    if metrics["overall"]["n"]:
        out += [_group(column, rows, metrics["overall"]) for column, rows in metrics["groups"].items() if rows]
        out += [_classes(metrics), _confusion(table["confusion"], metrics), *_detection(table, metrics)]
        out += _confidence(table, metrics)
        out += _group_confidence(table["reliability_by"], metrics)
    return {plot.name: plot for plot in [*out, *_curves(curves)]}


def _answers(metrics: dict[str, Any]) -> Plot:
    rows = metrics["per_class"]
    names = [r["class"] for r in rows]
    labelled, unlabelled = ([r[key] for r in rows] for key in ("answers", "answers_unlabelled"))
    words = _listing(names, [f"{a + b:,}" for a, b in zip(labelled, unlabelled, strict=True)])
    return Plot(
        "answers", plots.answer_counts(names, labelled, unlabelled), f"How often each class was answered: {words}"
    )


def _group(column: str, rows: list[dict[str, Any]], overall: dict[str, Any]) -> Plot:
    score = leading_score(rows)
    title = GROUP_TITLES[score]
    largest = sorted(rows, key=lambda r: -r["n"])[:SHOWN_GROUPS]
    shown = [r for r in rows if r in largest]
    names = ["(not given)" if r["value"] is None else str(r["value"]) for r in shown]
    svg = plots.score_bars(names, shown, score, f"{title} with 95 % interval", overall[score])
    return Plot(f"by_{column}", svg, f"{title} by {column}: {_listing(names, [_score(r[score]) for r in shown])}")


def _classes(metrics: dict[str, Any]) -> Plot:
    rows = metrics["per_class"]
    names = [r["class"] for r in rows]
    svg = plots.score_bars(names, rows, "f1", "F1 with 95 % interval", metrics["overall"]["macro_f1"])
    return Plot("per_class", svg, f"F1 of each class: {_listing(names, [_score(r['f1']) for r in rows])}")


def _confusion(table: pd.DataFrame, metrics: dict[str, Any]) -> Plot:
    right = table[(table["truth"] == table["answer"]) & table["share"].notna()]
    words = _listing(right["truth"].tolist(), [_percent(s) for s in right["share"]])
    alt = f"Confusion matrix, rows are true classes. Share answered right: {words}"
    return Plot("confusion", plots.confusion(table, metrics["classes"]), alt)


def _detection(table: dict[str, pd.DataFrame], metrics: dict[str, Any]) -> list[Plot]:
    overall = metrics["overall"]
    if overall["auroc"] is None:
        return []
    auroc, eer = overall["auroc"], overall["eer"]
    return [
        Plot(
            "roc",
            plots.roc(table["roc"], auroc, eer),
            f"ROC curve of unknown against known: area {auroc:.3f}, equal error rate {_percent(eer)}",
        ),
        Plot(
            "unknown_scores",
            plots.unknown_scores(table["unknown_scores"]),
            f"Histograms of the unknown score of {overall['n_known']} known and {overall['n_unknown']} unknown tracks",
        ),
    ]


def _confidence(table: dict[str, pd.DataFrame], metrics: dict[str, Any]) -> list[Plot]:
    ece = metrics["calibration"]["ece"]
    return [
        Plot(
            "reliability",
            plots.reliability(table["reliability"], ece),
            f"Reliability diagram: accuracy by confidence, expected calibration error {ece:.3f}",
        ),
        Plot(
            "coverage",
            plots.coverage(table["coverage"]),
            f"Accuracy over the most confident share of tracks; over all of them {metrics['overall']['accuracy']:.2f}",
        ),
    ]


def _group_confidence(table: pd.DataFrame, metrics: dict[str, Any]) -> list[Plot]:
    out = []
    for column, rows in metrics["calibration"]["groups"].items():
        bins = table[table["column"] == column]
        if not bins["n"].sum():
            continue
        ece = {row["value"]: row["ece"] for row in rows}
        shown = groupplots.shown_values(bins)
        words = _listing(["(not given)" if v is None else v for v in shown], [_score(ece[v]) for v in shown])
        alt = f"Reliability diagrams by {column}, expected calibration error: {words}"
        out.append(Plot(f"reliability_by_{column}", groupplots.reliability_grid(bins, ece), alt))
    return out


def _curves(curves: Sequence[Curve]) -> list[Plot]:
    columns = dict.fromkeys(str(c) for curve in curves for c in curve.values if c != "epoch")
    out = []
    # What was learned first, how fast it was asked to learn last.
    for column in sorted(columns, key=lambda c: c == "lr"):
        names = [c.name for c in curves if column in c.values]
        title = plots.CURVE_TITLES.get(column, column.replace("_", " "))
        alt = f"{title} by epoch of {len(names)} models: {', '.join(names)}"
        out.append(Plot(f"curve_{column}", plots.learning_curve(curves, column), alt))
    return out


def _listing(names: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _score(value: float | None) -> str:
    return "n/a" if value is None or pd.isna(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None or pd.isna(value) else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def _count(value: int) -> str:
    return f"{value:,}"
