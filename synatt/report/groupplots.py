"""Reliability diagrams of many groups side by side: one small diagram a group, the largest groups only."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from synatt.report.style import ink, themed_svg

SHOWN_RELIABILITIES = 12
ACROSS = 3
WIDTH_IN, ROW_IN = 7.8, 2.7


def shown_values(bins: pd.DataFrame) -> list[str | None]:
    """The values with the most tracks in `reliability_by` rows of one column, in the table's own order."""
    n = bins.groupby("value", sort=False, dropna=False)["n"].sum()
    largest = n[n > 0].sort_values(ascending=False, kind="stable").index[:SHOWN_RELIABILITIES]
    return [None if pd.isna(value) else str(value) for value in n.index if value in largest]


def reliability_grid(bins: pd.DataFrame, ece: dict[str | None, float | None]) -> bytes:
    """One diagram for each of `shown_values`: accuracy by confidence against the diagonal, with count and ECE.

    Args:
        bins: rows of the table `reliability_by` of one column.
        ece: expected calibration error of each value.
    """
    values = shown_values(bins)
    rows = max(1, -(-len(values) // ACROSS))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, ACROSS, squeeze=False, sharex=True, sharey=True)
        for axes, value in zip(grid.flat, values, strict=False):
            here = bins[bins["value"].isna() if value is None else bins["value"] == value]
            full = here[here["n"] > 0]
            axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=1, linestyle=(0, (4, 3)))
            axes.bar(
                full["low"], full["accuracy"], (full["high"] - full["low"]) * 0.9, align="edge", color=ink("accent"),
                alpha=0.75,
            )  # fmt: skip
            # The size of a dot is the share of the group's tracks in that bin.
            axes.scatter(
                full["confidence"], full["accuracy"], 8 + 90 * full["n"] / full["n"].sum(), color=ink("warm"), zorder=3
            )
            name = "(not given)" if value is None else value
            error = ece.get(value)
            told = f"n = {int(full['n'].sum()):,}" + ("" if error is None else f", ECE {error:.3f}")
            axes.set_title(f"{name if len(name) <= 24 else f'{name[:23]}…'}\n{told}", fontsize=9)
            axes.tick_params(labelbottom=True)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.02)
            axes.set_xticks(np.linspace(0, 1, 5), ["0", "", "0.5", "", "1"])
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.grid()
        for axes in grid.flat[len(values) :]:
            axes.set_visible(False)
        figure.supxlabel("confidence of the answer", fontsize=9, color=ink("muted"))
        figure.supylabel("share answered right", fontsize=9, color=ink("muted"))

    return themed_svg(WIDTH_IN, 0.6 + ROW_IN * rows, draw)
