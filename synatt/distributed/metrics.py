"""What Synatt counts while it runs, for Prometheus through Ray: `ray.util.metrics` puts `ray_` before each name.

Tags are few words each: run, stage, kind of error, backbone, fold; never a track or a path. A counter stays on its
node's endpoint when its worker has ended, a gauge for two of Ray's report intervals (20 s) after it was set.
"""

import functools
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from synatt.audioerrors import AudioError

log = logging.getLogger("synatt")

# What stands before the ':' of a row's error; any other word is counted as 'other'.
KINDS = frozenset({kind.kind for kind in AudioError.__subclasses__()} | {AudioError.kind, "unexpected", "crashed"})

_TRAINING = ("run", "backbone", "fold")


@dataclass(frozen=True)
class Metric:
    """A counter or a gauge: name without Ray's `ray_`, help text, names of its tags."""

    name: str
    help: str
    tags: tuple[str, ...]

    @property
    def exported(self) -> str:
        """The name that Prometheus sees."""
        return f"ray_{self.name}"

    @property
    def is_counter(self) -> bool:
        return self.name.endswith("_total")


CLIPS = Metric("synatt_clips_total", "recordings done, with an answer or an error", ("run",))
ERRORS = Metric("synatt_errors_total", "recordings without an answer", ("run", "kind"))
WORK = Metric("synatt_work_seconds_total", "seconds of work, over all processes", ("run", "stage"))
QUEUE = Metric("synatt_queue_clips", "recordings of the run that are not done", ("run",))
EPOCHS = Metric("synatt_epochs_total", "epochs trained", _TRAINING)
TRAINED = Metric("synatt_training_clips_total", "clips trained on, over all workers", _TRAINING)
SECONDS = Metric("synatt_training_seconds_total", "seconds of a worker: wait, sync, compute", (*_TRAINING, "stage"))
LOSS = Metric("synatt_training_loss", "loss of the last epoch", _TRAINING)
MACRO_F1 = Metric("synatt_training_macro_f1", "macro F1 of the held-out fold after the last epoch", _TRAINING)
RATE = Metric("synatt_training_clips_per_second", "clips/s of the last epoch, over all workers", _TRAINING)
WAIT = Metric("synatt_training_wait_ratio", "share of the last epoch spent waiting for data", _TRAINING)
LEFT = Metric("synatt_training_left_seconds", "time left at the pace of the last epoch", _TRAINING)

METRICS = (CLIPS, ERRORS, WORK, QUEUE, EPOCHS, TRAINED, SECONDS, LOSS, MACRO_F1, RATE, WAIT, LEFT)


def scored(run: str, rows: int, errors: Iterable[str], seconds: float) -> None:
    """A scored block: recordings that are done, the errors among them as 'kind: sentence', seconds of scoring."""
    _record(CLIPS, rows, run=run)
    for error in errors:
        _record(ERRORS, 1, run=run, kind=kind_of(error))
    worked(run, "score", seconds)


def kind_of(error: str) -> str:
    """The kind of a row's error, one of `KINDS` or 'other'."""
    kind = error.partition(":")[0]
    return kind if kind in KINDS else "other"


def worked(run: str, stage: str, seconds: float) -> None:
    """Seconds of work of the stage 'decode', 'log-mel' or 'score'."""
    _record(WORK, seconds, run=run, stage=stage)


def queued(run: str, clips: int) -> None:
    """Recordings of the run that are not done; said by the driver."""
    _record(QUEUE, clips, run=run)


def trained(run: str, backbone: str, row: dict[str, Any], epochs: int, fold: int | None = None) -> None:
    """A finished epoch: the row of a training curve, of `epochs` in all.

    Args:
        fold: of a trial that validates on it.
    """
    tags = {"run": run, "backbone": backbone, "fold": "" if fold is None else str(fold)}
    stages = {name: float(row[f"{name}_s"]) for name in ("wait", "sync", "compute")}
    busy = max(sum(stages.values()), 1e-9)
    _record(EPOCHS, 1, **tags)
    _record(TRAINED, row["clips"], **tags)
    for stage, seconds in stages.items():
        _record(SECONDS, seconds, stage=stage, **tags)
    _record(LOSS, row["loss"], **tags)
    if "macro_f1" in row:
        _record(MACRO_F1, row["macro_f1"], **tags)
    _record(RATE, row["clips"] / busy, **tags)
    _record(WAIT, stages["wait"] / busy, **tags)
    _record(LEFT, (epochs - row["epoch"]) * row["seconds"], **tags)


def _record(metric: Metric, value: float, **tags: str) -> None:
    # A run is worth more than what is counted of it.
    try:
        import ray

        if not ray.is_initialized():
            return
        if not metric.is_counter:
            _made(metric).set(float(value), tags)
        elif value > 0:
            _made(metric).inc(float(value), tags)
    except Exception as err:
        _complain(f"{type(err).__name__}: {err}")


@functools.cache
def _made(metric: Metric) -> Any:
    from ray.util.metrics import Counter, Gauge

    return (Counter if metric.is_counter else Gauge)(metric.name, metric.help, metric.tags)


@functools.cache
def _complain(why: str) -> None:
    """Say it once a process."""
    log.warning("metrics are not counted: %s", why)
