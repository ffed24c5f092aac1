"""End the Ray Train runs of a job that is interrupted, so that the threads that wait for them come back.

A thread that still waits for Ray when the driver disconnects ends the whole process, or hangs with it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from synatt.distributed.session import state_of_own_cluster

log = logging.getLogger("synatt")

# How long the threads have, and how often it is looked for runs: one may begin only now.
WAIT_S, LOOK_S = 20.0, 0.5


def end_runs(over: Callable[[], bool]) -> None:
    """Kill the controllers of this driver's runs until `over` says that nobody waits for one; their workers end too.

    A run's checkpoints are written by its workers, whole or not at all: nothing is lost but the epoch under way.
    """
    import ray

    if ray.util.client.ray.is_connected():
        # Threads of a Ray client wait for its server, which ends with the connection.
        return
    give_up_s = time.monotonic() + WAIT_S
    while not over() and time.monotonic() < give_up_s:
        try:
            found = _controllers()
        except Exception as err:
            log.warning("the trainings under way are not known, and may keep this job from its end: %s", err)
            return
        for controller in found:
            with suppress(psutil.NoSuchProcess):
                controller.kill()
        time.sleep(LOOK_S)


def _controllers() -> list[psutil.Process]:
    """The controllers' processes: Ray Train keeps them on the driver's own node."""
    import ray
    from ray.util.state import list_actors

    context = ray.get_runtime_context()
    wanted: list[tuple[str, str, str | bool | int | float]]
    wanted = [("class_name", "=", "TrainController"), ("job_id", "=", context.get_job_id()), ("state", "=", "ALIVE")]
    with state_of_own_cluster():
        pids = [int(actor.pid) for actor in list_actors(filters=wanted) if actor.pid]
    found = []
    for pid in pids:
        # Only a process that is what it should be, whatever the record says.
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if "TrainController" in " ".join(process.cmdline()):
                found.append(process)
    return found
