"""Training steps of one network, in plain torch. Who runs them, and where, is not known here."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from synatt.augment.batch import augment_batch
from synatt.augment.rawboost import augment_rawboost
from synatt.augment.spectrogram import augment_spectrogram
from synatt.augment.warp import augment_warp
from synatt.augment.waveform import augment_waveform
from synatt.errors import WorkError
from synatt.feed import Batch, Place, Stopwatch
from synatt.logmel import logmel_batch
from synatt.loss import disagreement, soft_cross_entropy
from synatt.precision import Precision
from synatt.recipe import Recipe, Train

# The loss is looked at every so many steps; to look is to wait for the device.
LOOK_EVERY = 20


class TrainingError(WorkError):
    """Training cannot go on."""


def augmented(
    wave_BS: torch.Tensor, target_BC: torch.Tensor, recipe: Recipe, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised clips ``[B, S]`` -> augmented log-mels ``[B, M, T]`` and mixed labels, in the method's order.

    Waveforms (`logmel.kind`) are ``[B, 1, S]`` and skip what is done to spectrograms, which their recipes may not ask
    for; mixup and cutmix they share.
    """
    wave_BS = augment_rawboost(wave_BS, recipe.augment, rng)
    wave_BS = augment_waveform(wave_BS, recipe.augment, rng)
    logmel_BMT = logmel_batch(wave_BS, recipe.logmel)
    if recipe.logmel.kind == "log_mel":
        logmel_BMT = augment_warp(logmel_BMT, recipe.augment, recipe.logmel, rng)
        logmel_BMT = augment_spectrogram(logmel_BMT, recipe.augment, rng)
    return augment_batch(logmel_BMT, target_BC, recipe.augment, rng)


def micro_step(
    net: nn.Module,
    logmel_BMT: torch.Tensor,
    target_BC: torch.Tensor,
    weight_B: torch.Tensor,
    settings: Train,
    world: int,
    precision: Precision,
    scaler: "torch.amp.GradScaler | None" = None,
    last: bool = True,
) -> torch.Tensor:
    """Add this micro-batch's gradient; returns its share of the global mean loss (a scalar, detached).

    Losses are weighted by the global batch, so that an uneven last batch still gives the gradient of the mean over
    its clips. DDP averages over workers, hence the factor `world`.

    Args:
        settings: where its `views` is 2 the second half of the batch are the first half's clips, drawn anew; how far
            the answers to both are apart is added to the loss, times `consistency`.
        last: it is the last of the worker's micro-batches in this step: gradients are brought together with it.
    """
    apart = not last and hasattr(net, "no_sync")
    with net.no_sync() if apart else contextlib.nullcontext():  # type: ignore[operator]
        with precision.autocast():
            logits_BC = net(logmel_BMT)
        loss_B = soft_cross_entropy(logits_BC, target_BC, settings.label_smoothing, settings.focal_gamma)
        if settings.views == 2:
            loss_B = loss_B + settings.consistency * disagreement(*logits_BC.chunk(2)).repeat(2)
        loss = (loss_B * weight_B).sum()
        scaled = loss * world
        (scaler.scale(scaled) if scaler else scaled).backward()
    return loss.detach()


@dataclass
class EpochStats:
    """What one worker saw of an epoch: its share of the mean loss, and where its time went.

    Attributes:
        wait_s: waiting for clips.
        sync_s: waiting for the other workers' gradients.
        compute_s: all else: log-mels, augmentation, the network, the optimiser.
    """

    loss: float
    clips: int
    wait_s: float
    compute_s: float
    sync_s: float = 0.0


def train_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    recipe: Recipe,
    epoch: int,
    place: Place,
    precision: Precision,
    scaler: "torch.amp.GradScaler | None" = None,
    stepped: Callable[[], None] = lambda: None,
) -> EpochStats:
    """One pass over this worker's micro-batches; the optimiser steps when the last of a step is in.

    Args:
        stepped: called after every step of the optimiser.

    Raises:
        TrainingError: the loss is not finite; the message names epoch, step, learning rate and, where it can be told,
            the cause.
    """
    net.train()
    watch = Stopwatch()
    start = time.perf_counter()
    device = precision.device
    # The mean over an epoch of per-step losses; summed on the device so that no step waits for the number.
    total, clips, steps = torch.zeros((), device=device), 0, 0
    optimizer.zero_grad(set_to_none=True)
    for item in watch.iterate(batches):
        rng = np.random.default_rng([recipe.seed, epoch, item.step, item.micro, place.rank, 2])
        wave_BS, target_BC, weight_B = (
            t.to(device, non_blocking=True) for t in (item.wave_BS, item.target_BC, item.weight_B)
        )
        logmel_BMT, target_BC = augmented(wave_BS, target_BC, recipe, rng)
        total += micro_step(
            net, logmel_BMT, target_BC, weight_B, recipe.train, place.world, precision, scaler, item.last
        )
        clips += int((item.weight_B > 0).sum()) // recipe.train.views
        if item.last:
            if steps % LOOK_EVERY == 0:
                _require_finite(total, logmel_BMT, net, optimizer, epoch, steps, precision)
            _optimise(optimizer, scaler)
            steps += 1
            stepped()
    _require_finite(total, None, net, optimizer, epoch, steps, precision)
    mean_loss = float(total) / max(steps, 1)
    return EpochStats(mean_loss, clips, watch.waited_s, time.perf_counter() - start - watch.waited_s)


def _require_finite(
    loss: torch.Tensor,
    logmel_BMT: torch.Tensor | None,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    step: int,
    precision: Precision,
) -> None:
    value = float(loss)
    if math.isfinite(value):
        return
    rate = optimizer.param_groups[0]["lr"]
    where = f"the loss is {value} in epoch {epoch + 1}, step {step + 1} (learning rate {rate:.3g})"
    if logmel_BMT is not None and not bool(torch.isfinite(logmel_BMT).all()):
        raise TrainingError(f"{where}: the input of the network is not finite, look for clips with extreme samples")
    broken = next((name for name, p in net.named_parameters() if not bool(torch.isfinite(p).all())), None)
    if broken:
        raise TrainingError(f"{where}: the weights have grown out of range ({broken}), lower train.lr_max")
    if precision.dtype == torch.float16:
        raise TrainingError(f"{where}: float16 overflows in this network, give --set train.precision=float32")
    raise TrainingError(f"{where}: lower train.lr_max, or give --set train.precision=float32")


def _optimise(optimizer: torch.optim.Optimizer, scaler: "torch.amp.GradScaler | None") -> None:
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
