"""One worker's training run from first to last epoch, without Ray: what `train` and `tune` both call.

Checkpoints are handed out after every epoch and taken in at the start; a run that was stopped and goes on from one
ends with the same weights as an undisturbed run, since every draw is fixed by (seed, epoch, step, rank).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synatt.backbones import Attributor, create
from synatt.calibration import fit_temperature
from synatt.clipstore import ClipStore
from synatt.feed import Examples, Place, train_batches
from synatt.recipe import Backbone, Recipe, Weights
from synatt.schedule import learning_rate
from synatt.step import EpochStats, Precision, choose_precision, train_epoch, validate

STATE_FILE = "state.pt"

Wrap = Callable[[nn.Module], nn.Module]
Reduce = Callable[[EpochStats], EpochStats]


@dataclass(frozen=True)
class Plan:
    """What one run trains.

    Attributes:
        stage: 0 supervised, 1 semi-supervised: which of a backbone's (batch, epochs) pairs holds.
        epochs: number of epochs.
        accumulate: micro-batches per step and worker.
        lr_batch: clips per step over all workers, which scales the learning rate.
    """

    recipe: Recipe
    backbone: Backbone
    stage: int
    epochs: int
    accumulate: int
    lr_batch: int

    @property
    def batch(self) -> int:
        return self.backbone.batch[self.stage]


@dataclass
class Progress:
    """Where a run stands: epochs done, and one row of the curve per epoch."""

    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


class Run:
    """Network, optimiser and curve of one worker.

    Args:
        wrap: applied to the network after it is on its device (DDP).
        reduce: sums a worker's epoch statistics over all workers.
    """

    def __init__(
        self,
        plan: Plan,
        train: Examples,
        valid: Examples | None,
        store: ClipStore,
        place: Place,
        device: torch.device,
        wrap: Wrap | None = None,
        reduce: Reduce | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.plan, self.train_rows, self.valid_rows, self.store, self.place = plan, train, valid, store, place
        self.precision: Precision = choose_precision(plan.recipe.train.precision, device)
        self.reduce = reduce or (lambda stats: stats)
        # All workers start from equal weights; DDP would copy rank 0's anyway.
        torch.manual_seed(plan.recipe.seed)
        resumed = checkpoint is not None
        # A checkpoint brings all tensors: the pretrained ones need not be fetched again.
        net = create(plan.backbone, plan.recipe, Weights(source="random") if resumed else None)
        if plan.recipe.train.sync_batchnorm and place.world > 1:
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        layout = torch.channels_last if plan.recipe.train.channels_last else torch.contiguous_format
        self.bare: Attributor = net.to(device).to(memory_format=layout)
        self.optimizer = torch.optim.Adam(self.bare.parameters(), lr=0.0)
        self.scaler = torch.amp.GradScaler(device.type) if self.precision.dtype == torch.float16 else None
        self.progress = Progress()
        if checkpoint is not None:
            self._restore(checkpoint, device)
        self.net = wrap(self.bare) if wrap else self.bare

    def epochs(self) -> "Any":
        """Yield the curve's row after every epoch that is left."""
        while self.progress.epoch < self.plan.epochs:
            yield self._epoch(self.progress.epoch)

    def _epoch(self, epoch: int) -> dict[str, float]:
        recipe, start = self.plan.recipe, time.perf_counter()
        rate = learning_rate(epoch, self.plan.lr_batch, recipe.train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Dropout and the like draw from torch's own generator.
        torch.manual_seed(hash((recipe.seed, epoch, self.place.rank)) % (1 << 62))
        batches = train_batches(
            self.train_rows, self.store, recipe, epoch, self.plan.batch, self.plan.accumulate, self.place
        )
        stats = train_epoch(self.net, self.optimizer, batches, recipe, epoch, self.place, self.precision, self.scaler)
        stats = self.reduce(stats)
        row = {"epoch": epoch + 1, "lr": rate, **asdict(stats)}
        if self.valid_rows is not None:
            row |= self._validate()
        row["seconds"] = time.perf_counter() - start
        self.progress.epoch = epoch + 1
        self.progress.curve.append(row)
        return row

    def _validate(self) -> dict[str, float]:
        assert self.valid_rows is not None
        from sklearn.metrics import f1_score

        logits_BC = validate(self.bare, self.valid_rows, self.store, self.plan.recipe, self.precision)
        truth = self.valid_rows.target.argmax(axis=1)
        return {
            "macro_f1": float(f1_score(truth, logits_BC.argmax(axis=1), average="macro", zero_division=0)),
            "accuracy": float(np.mean(truth == logits_BC.argmax(axis=1))),
            "temperature": fit_temperature(logits_BC, truth),
        }

    def save(self, folder: Path) -> None:
        """Write all that `checkpoint=` needs to go on, into an existing folder."""
        state = {
            "net": self.bare.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "epoch": self.progress.epoch,
            "curve": self.progress.curve,
        }
        torch.save(state, folder / STATE_FILE)

    def _restore(self, folder: Path, device: torch.device) -> None:
        # weights_only: tensors and plain values; nothing in the file can run code.
        state = torch.load(folder / STATE_FILE, map_location=device, weights_only=True)
        self.bare.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(state["epoch"], state["curve"])


def describe(name: str, row: dict[str, float], epochs: int) -> str:
    """One line a person can read about a finished epoch."""
    left = (epochs - row["epoch"]) * row["seconds"]
    judged = f", macro F1 {row['macro_f1']:.3f}" if "macro_f1" in row else ""
    return (
        f"{name} epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.3f}{judged}, lr {row['lr']:.2e}, "
        f"{row['clips'] / max(row['wait_s'] + row['compute_s'], 1e-9):.0f} clips/s, "
        f"waited {row['wait_s']:.1f} of {row['seconds']:.0f} s, {left:.0f} s left"
    )
