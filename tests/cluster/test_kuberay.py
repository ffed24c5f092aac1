"""KubeRay's manifests: its own resource definitions, Ray's own reading of them, and what a pod must have."""

import copy
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from jobs import predict
from tests.cluster.definitions import MANIFESTS, cluster_spec, manifest, pod_specs

DATA = Path(__file__).parent / "data"
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


def accept(resource: dict[str, Any]) -> None:
    """Raise if KubeRay's definition of the resource has no such key, or not for such a value."""
    name = f"{resource['kind'].lower()}.{resource['apiVersion'].split('/')[1]}.schema.json.gz"
    schema = json.loads(gzip.decompress((DATA / name).read_bytes()))
    jsonschema.Draft7Validator(schema).validate(resource)


def size(quantity: str) -> int:
    """Bytes of a Kubernetes quantity such as 8Gi."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_accepts_the_manifest(name: str) -> None:
    accept(manifest(name))


def _root(found: dict[str, Any]) -> None:
    found["spec"]["rayVersions"] = "2.60.0"


def _autoscaler(found: dict[str, Any]) -> None:
    _cluster(found)["autoscalerOptions"]["idleTimeoutSecond"] = 300


def _group(found: dict[str, Any]) -> None:
    _cluster(found)["workerGroupSpecs"][0]["minReplica"] = 0


def _container(found: dict[str, Any]) -> None:
    _cluster(found)["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMount"] = []


def _value(found: dict[str, Any]) -> None:
    _cluster(found)["workerGroupSpecs"][0]["maxReplicas"] = "eight"


def _cluster(found: dict[str, Any]) -> dict[str, Any]:
    return found["spec"].get("rayClusterSpec", found["spec"])


@pytest.mark.parametrize("damage", [_root, _autoscaler, _group, _container, _value])
@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_refuses_a_misspelt_key_and_a_wrong_value(name: str, damage: Callable[[dict[str, Any]], None]) -> None:
    # Without the parts that share a YAML anchor.
    found = copy.deepcopy(json.loads(json.dumps(manifest(name))))
    damage(found)
    with pytest.raises(jsonschema.ValidationError):
        accept(found)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_autoscaler_reads_the_pools_from_the_manifest(name: str) -> None:
    resource = {"metadata": {"name": "synatt", "namespace": "default"}, "spec": cluster_spec(name)}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    head, *pools = config["available_node_types"].items()
    assert head[1]["resources"]["CPU"] == 0
    for pool, kind in pools:
        assert kind["resources"][pool] == 1
        assert kind["resources"].get("GPU", 0) == {"decode": 0, "train": 8, "predict": 1}[pool]
        assert kind["resources"]["memory"] > 8 << 30
        assert kind["labels"]["pool"] == pool


def test_a_standing_cluster_without_work_is_its_head_alone() -> None:
    assert [group["minReplicas"] for group in cluster_spec("raycluster")["workerGroupSpecs"]] == [0, 0, 0]


def test_the_job_starts_with_its_gpus_and_its_cluster_goes_with_it() -> None:
    spec = manifest("rayjob-predict")["spec"]
    (predicting,) = (g for g in cluster_spec("rayjob-predict")["workerGroupSpecs"] if g["groupName"] == "predict")
    assert predicting["minReplicas"] == predicting["replicas"] > 0
    assert spec["shutdownAfterJobFinishes"]


def test_the_job_is_a_command_that_predict_takes() -> None:
    python, flag, module, *args = manifest("rayjob-predict")["spec"]["entrypoint"].split()
    assert (python, flag, module) == ("python", "-m", "jobs.predict")
    assert predict.parser().parse_args(args).output == "s3://bucket/answers"


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_run_as_a_plain_user_who_cannot_become_another(name: str) -> None:
    for pod in pod_specs(name).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            # Credentials come from the service account.
            assert not [e for e in container.get("env", []) if re.search("KEY|SECRET|TOKEN|PASSWORD", e["name"])]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_object_store_fits_into_shared_memory_and_that_into_the_pod(name: str) -> None:
    spec, pods = cluster_spec(name), pod_specs(name)
    starts = {"head": spec["headGroupSpec"]["rayStartParams"]}
    starts |= {group["groupName"]: group["rayStartParams"] for group in spec["workerGroupSpecs"]}
    for group, start in starts.items():
        pod = pods[group]
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}
        shared = mounts["/dev/shm"]
        assert shared["medium"] == "Memory"
        limits = pod["containers"][0]["resources"]["limits"]
        assert int(start["object-store-memory"]) < size(shared["sizeLimit"]) < size(limits["memory"]) / 2
        # Spilled objects go to a disk that has a limit of its own.
        assert "medium" not in mounts["/mnt/synatt"] and mounts["/mnt/synatt"]["sizeLimit"]
        assert start["object-spilling-directory"].startswith("/mnt/synatt/")


@pytest.mark.parametrize("name", MANIFESTS)
def test_nodes_have_time_to_end_their_tasks_when_told_to_go(name: str) -> None:
    from ray._private import ray_constants

    for group, pod in pod_specs(name).items():
        if group == "submitter":
            continue
        (drain,) = (float(e["value"]) for e in pod["containers"][0]["env"] if "GRACEFUL" in e["name"])
        assert 0 < drain < pod["terminationGracePeriodSeconds"]
        for setting in pod["containers"][0]["env"]:
            # A setting that Ray does not know would be ignored silently.
            assert hasattr(ray_constants, setting["name"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_ray_start_knows_its_parameters(name: str) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    spec = cluster_spec(name)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert {f"--{key}" for key in group["rayStartParams"]} <= known
