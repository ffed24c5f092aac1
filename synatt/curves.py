"""Training curves as pictures."""

import io
from collections.abc import Mapping, Sequence


def training_curve(rows: Sequence[Mapping[str, float]], title: str) -> bytes:
    """PNG: loss and learning rate by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["loss"] for row in rows], marker="o", color="tab:blue", label="training loss")
    axes.set(xlabel="epoch", ylabel="cross-entropy (nats)", title=title)
    rate = axes.twinx()
    rate.plot(epochs, [row["lr"] for row in rows], color="tab:gray", linestyle=":", label="learning rate")
    rate.set(ylabel="learning rate")
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


def _png(figure) -> bytes:  # type: ignore[no-untyped-def]
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120)
    return out.getvalue()
