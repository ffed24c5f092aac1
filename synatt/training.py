"""One worker's training run from first to last epoch, without Ray: what `train` and `tune` both call.

Its state is handed out after every epoch and taken in at the start; a run that was stopped and goes on from one ends
with the same weights as an undisturbed run, since every draw is fixed by (seed, epoch, step, rank).
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from synatt.backbones import Attributor, create
from synatt.calibration import fit_temperature
from synatt.checkpoints import State
from synatt.clipstore import ClipStore
from synatt.feed import Examples, train_batches
from synatt.neighbours import Neighbours
from synatt.optimising import Average, arranged, freeze, make_optimizer
from synatt.precision import Precision, choose_precision
from synatt.recipe import Backbone, Recipe, Weights
from synatt.schedule import learning_rate
from synatt.step import train_epoch
from synatt.team import SyncClock, Team
from synatt.validation import HeldOut, known_neighbours, validate

ALONE = Team()


@dataclass(frozen=True)
class Plan:
    """What one run trains.

    Attributes:
        stage: 0 supervised, 1 semi-supervised: which of a backbone's (batch, epochs) pairs holds.
        epochs: number of epochs.
        batch: clips per worker and forward pass.
        global_batch: clips per step over all workers and their micro-batches; it scales the learning rate, and stays
            what it is when there are fewer workers or the forward passes are smaller.
    """

    recipe: Recipe
    backbone: Backbone
    stage: int
    epochs: int
    batch: int
    global_batch: int


def make_plan(recipe: Recipe, backbone: Backbone, stage: int, epochs: int, workers: int) -> Plan:
    """The plan of a recipe's backbone for so many workers: each takes `train.accumulate` micro-batches a step.

    A backbone's own seed takes the place of the recipe's in all that training draws.
    """
    batch = backbone.batch[stage]
    if backbone.seed is not None:
        recipe = recipe.model_copy(update={"seed": backbone.seed})
    return Plan(recipe, backbone, stage, epochs, batch, batch * recipe.train.accumulate * workers)


@dataclass
class Progress:
    """Where a run stands: epochs done, one row of the curve per epoch, and how the best epoch's rows were judged."""

    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    confusion: list[list[int]] | None = None

    @property
    def judged(self) -> list[dict[str, float]]:
        """Rows of the curve after which the validation rows were judged."""
        return [row for row in self.curve if "macro_f1" in row]


class Run:
    """Network, optimiser and curve of one worker.

    Args:
        valid: rows to judge after every `tune.judge_every` epochs and the last one, shared out over the team.
        state: of an earlier run, to go on from.
        with_neighbours: hold rows that are judged against known clips too (see `synatt.neighbours`).
    """

    def __init__(
        self,
        plan: Plan,
        train: Examples,
        valid: Examples | None,
        store: ClipStore,
        device: torch.device,
        team: Team = ALONE,
        state: State | None = None,
        with_neighbours: bool = False,
    ) -> None:
        self.with_neighbours = with_neighbours
        self.plan, self.train_rows, self.valid_rows, self.store, self.team = plan, train, valid, store, team
        settings = plan.recipe.train
        self.precision: Precision = choose_precision(settings.precision, device)
        # All workers start from equal weights; DDP would copy rank 0's anyway.
        torch.manual_seed(plan.recipe.seed)
        # A state brings all tensors: the pretrained ones need not be fetched again.
        net: nn.Module = create(plan.backbone, plan.recipe, Weights(source="random") if state else None)
        if settings.sync_batchnorm and team.place.world > 1:
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        assert isinstance(net, Attributor)
        self.bare = arranged(net, settings, device)
        self.optimizer = make_optimizer(self.bare, settings)
        self.scaler = torch.amp.GradScaler(device.type) if self.precision.dtype == torch.float16 else None
        self.average = Average(self.bare, settings.ema_decay) if settings.ema_decay else None
        self.progress = Progress()
        # What the last validation found.
        self.held_out: HeldOut | None = None
        if state is not None:
            self._restore(state)
        self._wrapped: tuple[bool, nn.Module] | None = None

    @property
    def judged(self) -> Attributor:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.net if self.average else self.bare

    def neighbours(self) -> Neighbours | None:
        """What the network as it is now makes of known training clips; see `validation.known_neighbours`."""
        return known_neighbours(self.judged, self.train_rows, self.store, self.plan.recipe, self.precision)

    def epochs(self) -> Iterator[dict[str, float]]:
        """Yield the curve's row after every epoch that is left."""
        while self.progress.epoch < self.plan.epochs:
            yield self._epoch(self.progress.epoch)

    def _trained(self, epoch: int) -> nn.Module:
        """The network as it is trained in `epoch`; DDP has to be told anew when other weights learn."""
        frozen = epoch < self.plan.recipe.train.freeze_epochs
        if self._wrapped is None or self._wrapped[0] != frozen:
            freeze(self.bare, frozen)
            self._wrapped = frozen, self.team.wrap(self.bare)
        return self._wrapped[1]

    def _epoch(self, epoch: int) -> dict[str, float]:
        recipe, place, start = self.plan.recipe, self.team.place, time.perf_counter()
        rate = learning_rate(epoch, self.plan.global_batch, recipe.train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Dropout and the like draw from torch's own generator.
        torch.manual_seed(hash((recipe.seed, epoch, place.rank)) % (1 << 62))
        net = self._trained(epoch)
        clock = SyncClock(net)

        def stepped() -> None:
            clock.step()
            if self.average:
                self.average.update(self.bare)

        batches = train_batches(
            self.train_rows, self.store, recipe, epoch, self.plan.batch, self.plan.global_batch, place
        )
        stats = train_epoch(net, self.optimizer, batches, recipe, epoch, place, self.precision, self.scaler, stepped)
        stats.sync_s = min(clock.seconds, stats.compute_s)
        stats.compute_s -= stats.sync_s
        stats = self.team.summed(stats)
        self.team.agree_on_buffers(self.bare)
        if self.average:
            self.team.agree_on_buffers(self.average.net)
        row = {"epoch": epoch + 1, "lr": rate, **asdict(stats)}
        if self.valid_rows is not None and self._is_judged(epoch + 1):
            row |= self._validate(self.valid_rows)
        row |= {"workers": place.world, "seconds": time.perf_counter() - start}
        self.progress.epoch = epoch + 1
        self.progress.curve.append(row)
        return row

    def _is_judged(self, epoch: int) -> bool:
        return epoch % self.plan.recipe.tune.judge_every == 0 or epoch == self.plan.epochs

    def _validate(self, rows: Examples) -> dict[str, float]:
        """Metrics over all rows: each worker scores a part of them, and all see all scores."""
        from sklearn.metrics import confusion_matrix, f1_score

        rank, world = self.team.place.rank, self.team.place.world
        mine = Examples(rows.tracks[rank::world], rows.target[rank::world])
        known = self.neighbours() if self.with_neighbours else None
        found = validate(self.judged, mine, self.store, self.plan.recipe, self.precision, known)
        self.held_out = HeldOut.together(self.team.gathered(found))
        logits_BC = self.held_out.logits.reshape(-1, self.held_out.logits.shape[-1])
        truth = np.tile(rows.target.argmax(axis=1), len(self.held_out.logits))
        answer = logits_BC.argmax(axis=1)
        score = float(f1_score(truth, answer, average="macro", zero_division=0))
        if score > max((row["macro_f1"] for row in self.progress.judged), default=-1.0):
            labels = range(logits_BC.shape[1])
            self.progress.confusion = confusion_matrix(truth, answer, labels=labels).tolist()
        return {
            "macro_f1": score,
            "accuracy": float(np.mean(truth == answer)),
            "temperature": fit_temperature(logits_BC, truth),
        }

    def state(self) -> State:
        """All that `state=` needs to go on: tensors and plain values."""
        return {
            "net": self.bare.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "average": self.average.state() if self.average else None,
            "progress": asdict(self.progress),
        }

    def _restore(self, state: State) -> None:
        self.bare.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.restore(state["average"])
        self.progress = Progress(**state["progress"])


def describe(name: str, row: dict[str, Any], epochs: int) -> str:
    """One line a person can read about a finished epoch."""
    left = (epochs - row["epoch"]) * row["seconds"]
    judged = f", macro F1 {row['macro_f1']:.3f}" if "macro_f1" in row else ""
    busy = row["wait_s"] + row["compute_s"] + row["sync_s"]
    return (
        f"{name} epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.3f}{judged}, lr {row['lr']:.2e}, "
        f"{row['clips'] / max(busy, 1e-9):.0f} clips/s, waited {row['wait_s']:.1f} s for data and "
        f"{row['sync_s']:.1f} s for other workers of {row['seconds']:.0f} s, {left:.0f} s left"
    )
