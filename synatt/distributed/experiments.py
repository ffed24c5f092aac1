"""Ray Tune experiments that can be killed: they go on from Tune's own record where that is whole, else anew.

Trials keep their own states, written whole after every epoch. Tune's record says which trials are over; it may lag
behind or be torn when the driver is killed, and then costs the start of a trial but no epoch.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from ray import tune

from synatt import logs, storage
from synatt.allocator import keep_freed_memory
from synatt.checkpoints import State, TornCheckpoint, decode
from synatt.distributed.capacity import capacity
from synatt.distributed.lines import set_up_worker
from synatt.distributed.records import kept_in
from synatt.distributed.training import first_failure
from synatt.distributed.worker import quieten_ray, say, threads_per_worker
from synatt.errors import SynattError, WorkError
from synatt.recipe import Recipe

log = logging.getLogger("synatt")

# Its tables would go to standard output, which is for results.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Its own answer to SIGINT ends the experiment as if all trials had come to their end; it should end the job.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

# Ray Tune's own folder below the run's, and how the names of its records start.
EXPERIMENT, RECORD = "experiment", "experiment_state-"


def can_go_on(root: str) -> bool:
    """Whether Ray Tune can restore the experiment below `root`: it was not killed before or while it wrote its state.

    `Tuner.can_restore` alone is true as soon as the experiment is planned; restoring it would then fail for ever.
    """
    if not tune.Tuner.can_restore(**_where(root)):
        return False
    experiment = storage.join(root, EXPERIMENT)
    written = [name for name, _ in storage.list_files(experiment, recursive=False) if name.startswith(RECORD)]
    try:
        return bool(written) and "trial_data" in storage.read_json(storage.join(experiment, max(written)))
    except SynattError:
        return False


def _where(root: str) -> dict[str, Any]:
    """The experiment below `root` as arguments of `Tuner`'s own functions."""
    kept = kept_in(root)
    return {"path": storage.join(kept.pop("storage_path"), EXPERIMENT), **kept}


def with_one_device(trainable: Callable[..., None], **given: Any) -> Any:
    """`trainable` with its large arguments and `log_format`, for one process with one GPU (or CPU)."""
    resources = {"cpu": 1.0, "gpu": 1.0} if capacity().gpus else {"cpu": 1.0}
    return tune.with_resources(tune.with_parameters(trainable, **given, log_format=logs.chosen()), resources)


def run_experiment(
    trainable: Any, root: str, failures: int, space: dict[str, Any], config: tune.TuneConfig
) -> list[Any]:
    """Results of all trials; an experiment below `root` is gone on with.

    Args:
        failures: restarts of a failed trial.

    Raises:
        WorkError: a trial failed (the message is its first cause), or the trials were ended before they were over.
    """
    experiment = storage.join(root, EXPERIMENT)
    if can_go_on(root):
        log.info("going on with the trials in %s", experiment)
        tuner = tune.Tuner.restore(trainable=trainable, resume_unfinished=True, restart_errored=True, **_where(root))
    else:
        storage.delete_dir(experiment)
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=config,
            run_config=tune.RunConfig(
                name=EXPERIMENT,
                **kept_in(root),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=failures),
            ),
        )
    results = tuner.fit()
    if results.errors:
        raise WorkError(f"{len(results.errors)} of {len(results)} trials failed: {first_failure(results.errors[0])}")
    ended = [results[i] for i in range(len(results))]
    if not all((result.metrics or {}).get("done") for result in ended):
        # Ray Tune takes SIGUSR1, which batch systems send before they end a job, and returns what there is.
        raise WorkError("the trials were interrupted; run the same command again to go on")
    return ended


def kept_state(path: str, device: Any) -> State | None:
    """What a trial kept at `path`; None when that is nothing, or torn."""
    try:
        return decode(storage.read_bytes(path), device) if storage.is_file(path) else None
    except TornCheckpoint:
        say(f"{path} is torn: that trial starts anew")
        return None


def begin_trial(recipe: Recipe, log_format: str, **known: Any) -> Any:
    """Set up the process of a trial, and what its lines say in JSON; returns its torch device.

    As many trials as CPUs run side by side, so each keeps to one core unless the recipe says otherwise.
    """
    import ray
    import torch

    quieten_ray()
    set_up_worker(log_format, **known)
    keep_freed_memory()
    storage.set_patience(storage.RUN_PATIENCE_S)
    beside = max(1, int(ray.cluster_resources().get("CPU", 1)) // max(1, len(ray.nodes())))
    torch.set_num_threads(threads_per_worker(recipe, beside))
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
