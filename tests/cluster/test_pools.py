"""Ray's own autoscaler, asked which nodes it would start for what the jobs ask for."""

from typing import Any

import pytest
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ClusterResourceConstraint, GangResourceRequest

from synatt.distributed.capacity import Capacity
from synatt.distributed.streams import share_out
from tests.cluster.definitions import POOLS, cluster_spec, launcher_file

CLUSTERS = ("aws", "gcp", "raycluster")
GIB = 1 << 30
# What a scoring actor on a GPU asks for, with an ensemble of 13 large networks.
SCORE = {"GPU": 1, "memory": 6 * GIB}
# What Ray Train asks for per worker (synatt.distributed.training).
TRAIN = {"CPU": 1, "GPU": 1}


def config_of(name: str) -> dict[str, Any]:
    if name != "raycluster":
        return launcher_file(name)
    return _derive_autoscaling_config_from_ray_cr(
        {"metadata": {"name": "synatt", "namespace": "default"}, "spec": cluster_spec(name)}
    )


def cores_memory(config: dict[str, Any]) -> float:
    """Bytes per CPU of a decode node."""
    resources = config["available_node_types"]["decode"]["resources"]
    return float(resources["memory"]) / float(resources["CPU"])


def started(
    config: dict[str, Any],
    tasks: list[dict[str, float]] = [],
    gang: list[dict[str, float]] = [],
    nodes: list[dict[str, float]] = [],
) -> dict[str, int]:
    """Pool -> nodes that the autoscaler would start on a cluster that is its head alone.

    Args:
        tasks: of single tasks and actors.
        gang: of a placement group.
        nodes: bundles of `request_resources`.
    """
    read = AutoscalingConfig(config, skip_content_hash=True)
    make = ResourceRequestUtil.make
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=read.get_node_type_configs(),
        max_num_nodes=read.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([make(task) for task in tasks]),
        gang_resource_requests=[GangResourceRequest(requests=[make(bundle) for bundle in gang])] if gang else [],
        cluster_resource_constraints=[
            ClusterResourceConstraint(resource_requests=ResourceRequestUtil.group_by_count([make(n) for n in nodes]))
        ],
    )
    reply = ResourceDemandScheduler().schedule(request)
    counts = {launch.instance_type: launch.count for launch in reply.to_launch}
    counts.pop("head", None)
    counts.pop("headgroup", None)
    return counts


@pytest.mark.parametrize("name", CLUSTERS)
def test_decoding_starts_cpu_nodes_only(name: str) -> None:
    task = {"CPU": share_out(Capacity(2, 0, 64 * GIB), GIB, shards=9).decode_cpus}
    assert started(config_of(name), tasks=[task] * 60) == {"decode": 4}


@pytest.mark.parametrize("name", CLUSTERS)
def test_scoring_on_cpus_starts_the_cpu_nodes_that_it_counts_on(name: str) -> None:
    """`predict --cpus 64`, once the first node has told how much memory a core has."""
    core = cores_memory(config_of(name))
    pool = share_out(Capacity(64, 0, 0.0, grows=True), GIB, shards=1000, core_bytes=core)
    actor = {"CPU": pool.actor_cpus, "memory": float(pool.actor_bytes)}
    assert started(config_of(name), tasks=[actor] * pool.actors) == {"decode": 4}


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("name", CLUSTERS)
def test_scoring_on_gpus_starts_spot_nodes(name: str, count: int) -> None:
    assert started(config_of(name), tasks=[SCORE] * count) == {"predict": count}


@pytest.mark.parametrize("name", CLUSTERS)
def test_eight_training_workers_share_one_node(name: str) -> None:
    assert started(config_of(name), gang=[TRAIN] * 8) == {"train": 1}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", CLUSTERS)
def test_nodes_can_be_asked_for_by_the_name_of_their_pool(name: str, pool: str) -> None:
    count = 1 if pool == "train" else 4
    assert started(config_of(name), nodes=[{pool: 1}] * count) == {pool: count}


@pytest.mark.parametrize("name", CLUSTERS)
def test_without_work_nothing_is_started(name: str) -> None:
    assert started(config_of(name)) == {}


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_a_pool_that_does_not_say_its_memory_is_never_started_for_scoring(name: str) -> None:
    config = config_of(name)
    del config["available_node_types"]["predict"]["resources"]["memory"]
    assert "predict" not in started(config, tasks=[SCORE] * 3)
