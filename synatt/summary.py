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


def notes(evaluation: Evaluation) -> list[str]:
    """A line for each thing that a reader of the scores should know: overlap, shortcuts, thresholds."""
    metrics = evaluation.metrics
    if not metrics["overall"]["n"]:
        return []
    lines = [_overlap(metrics["overlap"]), *_probe(metrics["probe"]), *_thresholds(metrics)]
    return [line for line in lines if line]


def _overlap(overlap: dict[str, Any] | None) -> str | None:
    touched = [row for row in (overlap or {}).get("kinds", ()) if row["n_touched"] and row["kind"] != "any of these"]
    if not touched:
        return None
    told = ", ".join(f"{row['kind']} {row['n_touched']:,} of {row['n_compared']:,}" for row in touched)
    return f"overlap with training, in tracks: {told}; scores without each are in the report"


def _probe(probe: dict[str, Any]) -> list[str]:
    if probe["reason"] is not None:
        return [f"shortcut probe: n/a: {probe['reason']}"]
    row = probe["overall"][0]
    ours = f"models {_value(row, 'models_macro_f1')}" if row["n"] else "models n/a"
    line = (
        f"shortcut probe: level, silence, bandwidth, duration alone: macro F1 {_value(row, 'probe_macro_f1')}; {ours}"
    )
    flagged = ["all tracks"] if row["flagged"] == "yes" else []
    for column, rows in probe["groups"].items():
        flagged += [
            f"{column} {'(not given)' if r['value'] is None else r['value']}" for r in rows if r["flagged"] == "yes"
        ]
    return [line, *([f"shortcuts may explain the scores of: {', '.join(flagged)}"] if flagged else [])]


def _thresholds(metrics: dict[str, Any]) -> list[str]:
    wanted = f"{metrics['reject']['wanted']:.1%}"
    out = []
    for name, what, gain, loss in (
        ("reject", "confidence", ("accepted", "coverage"), ("wrong of those", "error")),
        ("unknown_threshold", "unknown score", ("unknown found", "found"), ("known flagged", "false_alarm")),
    ):
        found = metrics[name]
        if found["reason"] is not None:
            out.append(f"{what} for {wanted} errors: n/a: {found['reason']}")
            continue
        row = found["halves"][-1]
        told = "; ".join(f"{words} {_share(row, key)}" for words, key in (gain, loss))
        out.append(f"{what} >= {found['threshold']:.3f} for {wanted} errors, measured on the other half: {told}")
    return out


def _value(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "n/a"
    limits = "" if row[f"{name}_low"] is None else f" ({row[f'{name}_low']:.3f} - {row[f'{name}_high']:.3f})"
    return f"{row[name]:.3f}{limits}"


def _share(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "n/a"
    return f"{row[name]:.1%} ({row[f'{name}_low']:.1%} - {row[f'{name}_high']:.1%})"
