"""A map of embeddings -> points, colours by column and legends; the page switches between columns by CSS alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synatt.embeddingmap import EmbeddingMap
from synatt.report.style import SERIES
from synatt.scored import Rows

WIDTH, HEIGHT, MARGIN = 640, 460, 12
# The last of the series is grey, which stands for all other values; tints of the others double them.
_FULL = [f"var(--{role})" for role in SERIES[:-1]]
COLOURS = (*_FULL, *(f"color-mix(in srgb,{c} 45%,var(--paper))" for c in _FULL))
OTHER = f"var(--{SERIES[-1]})"
MANY_VALUES = 50


@dataclass(frozen=True)
class Scatter:
    """What the template draws.

    Attributes:
        columns: names of the tabs.
        css: rules that colour the points of the tab that is chosen.
        legends: per column (value, number of points, colour).
        points: (x, y, CSS classes, title, is a mistake).
    """

    columns: list[str]
    css: str
    legends: list[list[tuple[str, int, str]]]
    points: list[tuple[float, float, str, str, bool]]


def scatter(found: EmbeddingMap, classes: Sequence[str], by: Sequence[str]) -> Scatter:
    """Points of a map that has some, coloured by class, answer and those columns of `by` (and generator) that vary."""
    rows = found.rows
    names = np.array([*classes, None], dtype=object)
    values = {"true class": names[rows.truth], "answer": names[rows.answer]}
    for column in dict.fromkeys([*by, "generator"]):
        if column in rows.columns and 2 <= rows.columns[column].nunique() <= MANY_VALUES:
            values[column] = rows.columns[column].to_numpy(object)
    if not rows.labelled.any():
        del values["true class"]
    codes, legends = zip(*(_codes(v) for v in values.values()), strict=True)
    place = _placed(found.xy)
    points = [
        (x, y, " ".join(f"c{j}-{code[i]}" for j, code in enumerate(codes)), *_words(rows, i, names))
        for i, (x, y) in enumerate(place.tolist())
    ]
    return Scatter(list(values), _css(legends), list(legends), points)


def _codes(values: np.ndarray) -> tuple[np.ndarray, list[tuple[str, int, str]]]:
    """int ``[D]``, rank of each value by its count (the least all in one), and the legend."""
    shown = ["(not given)" if pd.isna(v) else str(v) for v in values]
    counts = Counter(shown)
    largest = sorted(counts, key=lambda v: (-counts[v], v))[: len(COLOURS)]
    rank = {value: i for i, value in enumerate(largest)}
    legend = [(v, counts[v], COLOURS[i]) for v, i in rank.items()]
    rest = len(shown) - sum(counts[v] for v in largest)
    if rest:
        legend.append((f"{len(counts) - len(largest)} others", rest, OTHER))
    return np.array([rank.get(v, len(largest)) for v in shown]), legend


def _css(legends: Sequence[list[tuple[str, int, str]]]) -> str:
    rules = []
    for j, legend in enumerate(legends):
        chosen = f"#map-by-{j}:checked~"
        rules.append(f"{chosen}.l{j}{{display:flex}}")
        rules += [f"{chosen}.map .c{j}-{i}{{fill:{colour}}}" for i, (_, _, colour) in enumerate(legend)]
    return "".join(rules)


def _placed(xy: np.ndarray) -> np.ndarray:
    """``[D, 2]`` in the picture's pixels, both axes on one scale."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    room = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    spread = np.maximum(high - low, 1e-9)
    scale = (room / spread).min()
    return (xy - (low + high) / 2) * scale * [1, -1] + [WIDTH / 2, HEIGHT / 2]


def _words(rows: Rows, i: int, names: np.ndarray) -> tuple[str, bool]:
    truth, answer = names[rows.truth[i]], names[rows.answer[i]]
    track = str(rows.track[i])
    shown = track if len(track) <= 60 else f"{track[:29]}…{track[-30:]}"
    return f"{shown}\ntrue class {truth or 'not known'}, answer {answer}", truth is not None and truth != answer
