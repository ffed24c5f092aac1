"""An evaluation in a few lines of text: what the jobs print."""

from typing import Any

from synatt.evaluation import Evaluation

GROUP_TITLES = {"macro_f1": "macro F1", "accuracy": "accuracy"}


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
