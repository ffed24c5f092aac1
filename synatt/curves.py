"""Training curves and validation results as pictures."""

import io
from collections.abc import Mapping, Sequence


def training_curve(rows: Sequence[Mapping[str, float]], title: str) -> bytes:
    """PNG: loss, learning rate and, where a fold was held out, its macro F1 by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["loss"] for row in rows], marker="o", color="tab:blue", label="training loss")
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    rate = axes.twinx()
    rate.plot(epochs, [row["lr"] for row in rows], color="tab:gray", linestyle=":", label="learning rate")
    rate.set(ylabel="learning rate")
    if judged := [row for row in rows if "macro_f1" in row]:
        score = axes.twinx()
        score.spines.right.set_position(("axes", 1.18))
        reached, height = [row["epoch"] for row in judged], [row["macro_f1"] for row in judged]
        score.plot(reached, height, color="tab:green", marker="s", label="held-out macro F1")
        score.set(ylabel="macro F1", ylim=(0, 1.02))
    figure.legend(loc="upper right", bbox_to_anchor=(1, 1), bbox_transform=axes.transAxes)
    return _png(figure)


def fold_curves(curves: Mapping[int, Mapping[int, float]], mean: Mapping[int, float], chosen: int, title: str) -> bytes:
    """PNG: macro F1 by epoch of every fold, their mean, and the chosen epoch count.

    Args:
        curves: fold -> epoch -> macro F1.
        mean: epoch -> mean over the folds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for fold, curve in sorted(curves.items()):
        axes.plot(list(curve), list(curve.values()), alpha=0.45, linewidth=1, label=f"fold {fold}")
    axes.plot(list(mean), list(mean.values()), color="black", linewidth=2, marker="o", label="mean")
    axes.axvline(chosen, color="tab:red", linestyle="--", label=f"chosen: {chosen}")
    axes.set(xlabel="epoch", ylabel="validation macro F1", title=title)
    axes.legend(fontsize="small")
    return _png(figure)


def search_curves(samples: Sequence[tuple[Mapping[str, object], Mapping[int, float]]], best: int, title: str) -> bytes:
    """PNG: for every searched key, its values against the highest mean macro F1 of their sample.

    Args:
        samples: (values by key, epoch -> mean macro F1).
        best: number of the sample that was chosen.
    """
    from matplotlib.figure import Figure

    keys = list(samples[0][0])
    figure = Figure(figsize=(3.4 * len(keys) + 0.6, 3.2), layout="constrained")
    peaks = [max(curve.values(), default=float("nan")) for _, curve in samples]
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        values = [keyed[key] for keyed, _ in samples]
        number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        shown = values if number else [str(v) for v in values]
        axes.scatter(shown, peaks, color="tab:blue")
        axes.scatter(shown[best : best + 1], peaks[best : best + 1], color="tab:red", label="chosen")
        if number and min(values) > 0 and max(values) / min(values) > 20:  # type: ignore[type-var,operator]
            axes.set_xscale("log")
        axes.set(xlabel=key, ylabel="mean macro F1")
        axes.legend(fontsize="small")
    figure.suptitle(title)
    return _png(figure)


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> bytes:
    """PNG: rows are true classes, columns answers; shade is the share of the row, the number the count."""
    from matplotlib.figure import Figure

    size = 1.6 + 0.55 * len(classes)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            axes.text(j, i, str(n), ha="center", va="center", color="white" if shares[i][j] > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="answer", ylabel="true class", title=title)
    return _png(figure)


def _png(figure) -> bytes:  # type: ignore[no-untyped-def]
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()
