"""What a job shares its work out over: the cluster as it is, or as large as the user says that it will become.

Ray does not tell a job what nodes an autoscaler may start. So a cluster that has shrunk to its head is not guessed at:
`--cpus` and `--gpus` say what to count on, the job asks for that, and the autoscaler brings the nodes.
"""

import logging
from dataclasses import dataclass

from synatt.errors import UsageError

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class Capacity:
    """CPUs, GPUs and bytes of memory, all nodes together.

    Attributes:
        grows: whether more is counted on than there is now.
    """

    cpus: float
    gpus: int
    memory: float
    grows: bool = False


@dataclass(frozen=True)
class Expected:
    """What the user says to count on; None: what there is."""

    cpus: int | None = None
    gpus: int | None = None


_expected = Expected()


def expected() -> Expected:
    """What the user says to count on."""
    return _expected


def expect(cpus: int | None, gpus: int | None) -> None:
    """Count on so many CPUs and GPUs from now on; None: on what there is."""
    global _expected  # noqa: PLW0603 one job per process, and one cluster for all of its stages
    _expected = Expected(cpus, gpus)


def capacity() -> Capacity:
    """What to share work out over on the connected cluster.

    Raises:
        UsageError: there is nothing, and nothing was said to be counted on.
    """
    import ray

    have = ray.cluster_resources()
    return counted(have.get("CPU", 0.0), int(have.get("GPU", 0)), have.get("memory", 0.0), _expected)


def counted(cpus: float, gpus: int, memory: float, expected: Expected) -> Capacity:
    """Capacity from what there is and what is expected.

    Raises:
        UsageError: it would be nothing.
    """
    most_cpus = cpus if expected.cpus is None else float(expected.cpus)
    most_gpus = gpus if expected.gpus is None else expected.gpus
    if not most_cpus and not most_gpus:
        raise UsageError(
            "the cluster has no CPU and no GPU now: say what its nodes will bring, --gpus N, --cpus N or both"
        )
    return Capacity(most_cpus, most_gpus, memory, grows=most_cpus > cpus or most_gpus > gpus)


def _nothing() -> None:
    """A task that asks for a CPU and does no work."""


def memory_of_a_core() -> float:
    """Bytes of memory per CPU on the node that has the most CPUs; waits for the first that has any."""
    import ray

    if not ray.cluster_resources().get("CPU"):
        log.info("waiting for the first node")
        ray.get(ray.remote(num_cpus=1)(_nothing).remote())
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    largest = max(nodes, key=lambda resources: resources["CPU"])
    return float(largest.get("memory", 0.0) / largest["CPU"])
