"""What the tests of cluster/ read: its files, and the versions that they all have to name."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import synatt

TOP = Path(__file__).parents[2]
CLUSTER = TOP / "cluster"
LAUNCHER = ("aws", "gcp", "onprem")
MANIFESTS = ("raycluster", "rayjob-predict")
POOLS = ("decode", "train", "predict")

# Its version is that of the code.
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"] | {"version": synatt.__version__}
# name -> version of every package in the image
PINS = dict(re.findall(r"^([\w.-]+)==([\w.+]+)$", (CLUSTER / "constraints.txt").read_text(), re.MULTILINE))
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
DASHBOARD: dict[str, Any] = json.loads((CLUSTER / "grafana.json").read_text())
# Metrics of the dashboard's panels: ours, and Ray's own.
SHOWN = set(re.findall(r"\bray_\w+", " ".join(t["expr"] for p in DASHBOARD["panels"] for t in p.get("targets", []))))
OUR_METRICS = {name for name in SHOWN if name.startswith("ray_synatt_")}
RAYS_METRICS = SHOWN - OUR_METRICS


def launcher_file(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "kuberay" / f"{name}.yaml").read_text())


def cluster_spec(name: str) -> dict[str, Any]:
    """The spec of the Ray cluster in a KubeRay manifest."""
    spec = manifest(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def pod_specs(name: str) -> dict[str, dict[str, Any]]:
    """Every pod that a manifest starts, by the name of its group."""
    cluster, spec = cluster_spec(name), manifest(name)["spec"]
    pods = {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}
    pods["head"] = cluster["headGroupSpec"]["template"]["spec"]
    if "submitterPodTemplate" in spec:
        pods["submitter"] = spec["submitterPodTemplate"]["spec"]
    return pods
