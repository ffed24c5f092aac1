"""One function per plot: plain values or a table of the evaluation in, SVG bytes out (see `synatt.report.style`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from synatt.report.curves import Curve
from synatt.report.style import SERIES, ink, themed_svg

WIDTH_IN = 6.0
HALF_IN = 5.2
# Above this many classes the cells of a confusion matrix are too small for figures.
NUMBERED_CLASSES = 14
CURVE_TITLES = {"lr": "learning rate", "val_macro_f1": "validation macro F1", "val_loss": "validation loss"}


def score_bars(
    names: Sequence[str], rows: Sequence[dict[str, Any]], score: str, label: str, overall: float | None = None
) -> bytes:
    """Horizontal bars of one score in 0..1 with its interval, one per row; the counts stand beside the names.

    Args:
        names: what each row is called.
        rows: mappings with `n`, `score`, and its `_low` and `_high`; None where not defined.
        score: key to draw.
        label: axis label.
        overall: value of a dashed line for all tracks.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for y, row in enumerate(rows):
            value, low, high = (row[key] for key in (score, f"{score}_low", f"{score}_high"))
            if value is None:
                axes.text(0.01, y, "n/a", va="center", color=ink("muted"))
                continue
            axes.barh(y, value, height=0.62, color=ink("accent"), alpha=0.8, linewidth=0)
            if low is not None:
                axes.plot([low, high], [y, y], color=ink("ink"), linewidth=1.6, solid_capstyle="butt")
                for end in (low, high):
                    axes.plot([end, end], [y - 0.16, y + 0.16], color=ink("ink"), linewidth=1.6)
            # On a patch of paper, so that the line for all tracks does not cross the figure.
            patch = {"facecolor": ink("paper"), "linewidth": 0, "pad": 1.5}
            axes.text(max(value, high or 0) + 0.018, y, f"{value:.2f}", va="center", bbox=patch, zorder=4)
        if overall is not None:
            axes.axvline(overall, color=ink("warm"), linewidth=1.4, linestyle=(0, (4, 3)), zorder=3)
            axes.text(overall, -0.72, f"all {overall:.2f}", color=ink("warm"), ha="center", va="bottom", fontsize=9)
        axes.set_yticks(range(len(rows)), [f"{_short(n)}  ({r['n']:,})" for n, r in zip(names, rows, strict=True)])
        axes.set_ylim(len(rows) - 0.4, -0.8)
        axes.set_xlim(0, 1.09)
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_xlabel(label)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    return themed_svg(WIDTH_IN, 1.0 + 0.36 * max(1, len(rows)), draw)


def confusion(table: pd.DataFrame, classes: Sequence[str]) -> bytes:
    """Heatmap of the `confusion` table: shade is the share of the true class, figures are share and count."""
    size = len(classes)
    side = float(np.clip(0.72 * size, 3.2, 11))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (i, j), n, share in zip(np.ndindex(size, size), table["n"], table["share"].fillna(0.0), strict=True):
            # The power lets rare mix-ups show; the figures say how rare.
            shade = float(share) ** 0.7
            for role, alpha in (("line", 0.3), ("accent" if i == j else "warm", shade)):
                corner = (j - 0.48, i - 0.48)
                axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=ink(role), alpha=alpha, linewidth=0))
            if n and size <= NUMBERED_CLASSES:
                color = ink("on_accent" if shade > 0.6 else "ink")
                axes.text(j, i - 0.13, f"{share:.0%}", ha="center", va="center", color=color, fontweight="bold")
                axes.text(j, i + 0.2, f"{n:,}", ha="center", va="center", color=color, fontsize=8)
        names = [_short(c) for c in classes]
        axes.set_xticks(range(size), names, rotation=35, ha="left", rotation_mode="anchor")
        axes.set_yticks(range(size), names)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_ylabel("true class")
        axes.set_xlabel("answer")
        axes.xaxis.set_label_position("top")
        axes.spines[:].set_visible(False)

    return themed_svg(side + 2.4, side + 1.4, draw)


def roc(table: pd.DataFrame, auroc: float, eer: float) -> bytes:
    """ROC curve of unknown against known, with the point of equal error rates."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=1, linestyle=(0, (4, 3)))
        axes.fill_between(table["fpr"], table["tpr"], color=ink("accent"), alpha=0.12, linewidth=0)
        axes.plot(table["fpr"], table["tpr"], color=ink("accent"))
        axes.plot([eer], [1 - eer], "o", color=ink("warm"), markersize=8)
        axes.annotate(
            f"equal error rate {eer:.1%}", (eer, 1 - eer), (12, -16), textcoords="offset points", color=ink("warm")
        )
        axes.text(0.97, 0.05, f"AUROC {auroc:.3f}", ha="right", fontsize=12, fontweight="bold")
        _unit_square(axes, "known tracks flagged as unknown", "unknown tracks found")

    return themed_svg(HALF_IN, 4.4, draw)


def unknown_scores(table: pd.DataFrame) -> bytes:
    """Histograms of the unknown score of known and of unknown tracks, each as a share of its own kind."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        edges = np.append(table["low"], table["high"].iloc[-1:])
        for side, role in (("known", "accent"), ("unknown", "warm")):
            n = table[side].to_numpy()
            if n.sum():
                axes.stairs(n / n.sum(), edges, fill=True, color=ink(role), alpha=0.4)
                axes.stairs(n / n.sum(), edges, color=ink(role), linewidth=1.6, label=f"{side} ({n.sum():,})")
        axes.legend()
        axes.set_xlabel("unknown score (higher: less like any known algorithm)")
        axes.set_ylabel("share of tracks")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y")

    return themed_svg(HALF_IN, 4.4, draw)


def reliability(table: pd.DataFrame, ece: float) -> bytes:
    """Accuracy by bins of confidence against the diagonal, over a histogram of the confidence."""

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        width = table["high"] - table["low"]
        axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=1, linestyle=(0, (4, 3)))
        axes.bar(table["low"], table["accuracy"], width * 0.92, align="edge", color=ink("accent"), alpha=0.75)
        full = table[table["n"] > 0]
        axes.plot(full["confidence"], full["accuracy"], "o", color=ink("warm"), markersize=5)
        axes.text(0.03, 0.93, f"ECE {ece:.3f}", fontsize=12, fontweight="bold", va="top")
        _unit_square(axes, "", "share answered right", equal=False)
        below.bar(table["low"], table["n"], width * 0.92, align="edge", color=ink("muted"), alpha=0.6)
        below.set_ylabel("tracks")
        below.set_xlabel("confidence of the answer")

    return themed_svg(HALF_IN, 4.8, draw)


def coverage(table: pd.DataFrame) -> bytes:
    """Accuracy over the most confident share of the tracks."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(table["coverage"], table["accuracy"], color=ink("accent"))
        final = float(table["accuracy"].iloc[-1])
        axes.axhline(final, color=ink("muted"), linewidth=1, linestyle=(0, (4, 3)))
        axes.text(0.01, final, f" all tracks {final:.2f}", va="bottom", color=ink("muted"))
        axes.set_xlim(0, 1.01)
        axes.set_ylim(max(0.0, float(table["accuracy"].min()) - 0.08), 1.01)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("share of tracks kept, most confident first")
        axes.set_ylabel("accuracy of those kept")
        axes.grid()

    return themed_svg(HALF_IN, 4.8, draw)


def answer_counts(names: Sequence[str], labelled: Sequence[int], unlabelled: Sequence[int]) -> bytes:
    """How often each class was answered, labelled and unlabelled tracks stacked."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        y = np.arange(len(names))
        sides = (
            ("with a true label", "accent", labelled, np.zeros(len(names))),
            ("without", "muted", unlabelled, labelled),
        )
        for label, role, n, left in sides:
            if sum(n):
                axes.barh(y, n, 0.62, left=left, color=ink(role), alpha=0.8, linewidth=0, label=label)
        totals = np.add(labelled, unlabelled)
        for at, total in zip(y, totals, strict=True):
            axes.annotate(f"{total:,}", (total, at), (5, 0), textcoords="offset points", va="center")
        if sum(labelled) and sum(unlabelled):
            axes.legend(loc="lower right")
        axes.set_yticks(y, [_short(n) for n in names])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(1, *totals))
        axes.set_xlabel("tracks given this answer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    return themed_svg(WIDTH_IN, 1.0 + 0.36 * max(1, len(names)), draw)


def learning_curve(curves: Sequence[Curve], column: str) -> bytes:
    """One line per model over the epochs."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, curve in enumerate(c for c in curves if column in c.values):
            style = ("-", "--", ":")[i // len(SERIES) % 3]
            points = curve.values[["epoch", column]].dropna()
            axes.plot(
                points["epoch"], points[column], style, color=ink(SERIES[i % len(SERIES)]), label=_short(curve.name),
                marker="o", markersize=3.5,
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.set_ylabel(CURVE_TITLES.get(column, column.replace("_", " ")))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        axes.legend(fontsize=8)

    return themed_svg(HALF_IN, 3.8, draw)


def _unit_square(axes: Axes, xlabel: str, ylabel: str, equal: bool = True) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(0, 1.02)
    if equal:
        axes.set_aspect("equal")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid()


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most + most // 2 :]}"
