"""The learning rate of an epoch."""

from synatt.recipe import Train


def learning_rate(epoch: int, global_batch: int, settings: Train) -> float:
    """Syn-Att's schedule: a linear rise to ``lr_max x global batch``, then exponential decay towards `lr_min`.

    Args:
        epoch: counted from 0.
        global_batch: clips per optimiser step over all workers and accumulation. `lr_min` is not scaled by it.
    """
    peak = settings.lr_max * global_batch
    if epoch < settings.warmup_epochs:
        return settings.lr_start + (peak - settings.lr_start) * epoch / settings.warmup_epochs
    return (peak - settings.lr_min) * settings.decay ** (epoch - settings.warmup_epochs) + settings.lr_min
