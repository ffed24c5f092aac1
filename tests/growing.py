"""A cluster on this machine that is its head alone until there is work: Ray's autoscaler over its fake provider."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from ray._private import parameter
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)

GIB = 1 << 30
# Where all nodes of a kind are taken, the autoscaler turns to another: there are more of `decode` than a job counts on.
# Nodes only say that they have GPUs: torch scores on its CPU there; nothing is trained, for NCCL would look for them.
KINDS = {
    "decode": (4, {"CPU": 1, "memory": 3 * GIB}),
    "gpu": (1, {"CPU": 1, "GPU": 1, "memory": 3 * GIB}),
}
IDLE_S = 15.0
ROOT = Path(__file__).resolve().parents[1]
# The test looks at the nodes with a client that has no token to show.
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def definition(address: str, kinds: dict[str, tuple[int, dict[str, float]]], idle_s: float) -> dict[str, Any]:
    """What `ray up` would hand to the head: `kinds` maps a node type to (most nodes, resources of each)."""
    types = {
        name: {"min_workers": 0, "max_workers": most, "resources": resources, "node_config": {}}
        for name, (most, resources) in kinds.items()
    }
    types[FAKE_HEAD_NODE_TYPE] = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0, "min_workers": 0}
    provider = {"type": "external", "module": "tests.growing.Provider", "gcs_address": address, "launch_multiple": True}
    # Nobody installs Ray there by SSH.
    provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
    return {
        "cluster_name": "growing",
        "max_workers": sum(most for most, _ in kinds.values()),
        "idle_timeout_minutes": idle_s / 60,
        "upscaling_speed": 1.0,
        "provider": {**provider, "head_node_id": FAKE_HEAD_NODE_ID},
        "auth": {},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": types,
        **{name: {} for name in ("docker", "file_mounts")},
        **{name: [] for name in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
        **{name: [] for name in ("initialization_commands", "cluster_synced_files")},
        **{name: [] for name in ("head_start_ray_commands", "worker_start_ray_commands")},
    }


class Provider(FakeMultiNodeProvider):
    """Ray's fake provider, whose nodes also say how much memory they have."""

    def _create_node_with_resources_and_labels(
        self, node_config: Any, tags: Any, count: int, resources: dict[str, float], labels: Any
    ) -> None:
        rest, memory = dict(resources), int(resources["memory"])
        del rest["memory"]
        make = parameter.RayParams
        parameter.RayParams = partial(make, memory=memory)
        try:
            super()._create_node_with_resources_and_labels(node_config, tags, count, rest, labels)
        finally:
            parameter.RayParams = make


class Watch:
    """Writes down how many nodes of each type there are."""

    def __init__(self, address: str) -> None:
        from ray._raylet import GcsClient

        self.address = address
        self._client = GcsClient(address=address)
        self.seen: list[tuple[float, dict[str, int]]] = []
        self._start, self._stop = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            counts: dict[str, int] = {}
            for name in self.now():
                counts[name] = counts.get(name, 0) + 1
            self.seen.append((time.monotonic() - self._start, counts))

    def now(self) -> list[str]:
        """Types of the workers that are alive."""
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        found = self._client.get_all_node_info(timeout=20)
        alive = [node for node in found.values() if node.state == GcsNodeInfo.ALIVE]
        return [node.node_type_name for node in alive if node.node_type_name not in ("", FAKE_HEAD_NODE_TYPE)]

    def most(self, kind: str) -> int:
        return max((counts.get(kind, 0) for _, counts in self.seen), default=0)

    def wait_for_none(self, limit_s: float) -> bool:
        until = time.monotonic() + limit_s
        while self.now():
            if time.monotonic() > until:
                return False
            time.sleep(1)
        return True

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def growing_cluster(folder: Path, kinds: dict[str, tuple[int, dict[str, float]]], idle_s: float) -> Iterator[Watch]:
    """The cluster; its address is in `Watch.address`. All of its processes end with the block."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    config = folder / "cluster.json"
    config.write_text(json.dumps(definition(address, kinds, idle_s)))
    log = folder / "head.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
        **NO_TOKEN,
        "PYTHONPATH": str(ROOT),
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    command = ["ray", "start", "--head", "--block", f"--port={port}", f"--autoscaling-config={config}", "--num-cpus=0"]
    ports = ["--dashboard-port", "--ray-client-server-port", "--dashboard-agent-listen-port"]
    command += [f"{name}={free_port()}" for name in ports] + ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    # Ray's sockets have names of at most 107 letters.
    command += [f"--temp-dir=/tmp/synatt-growing-{os.getpid()}"]
    with log.open("wb") as out:
        head = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]], stdout=out, stderr=out, env=env
        )
    try:
        until = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():
            assert head.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.5)
        watch = Watch(address)
        try:
            yield watch
        finally:
            watch.stop()
    finally:
        own = psutil.Process(head.pid) if head.poll() is None else None
        ours = [own, *own.children(recursive=True)] if own else []
        head.send_signal(signal.SIGTERM)
        for process in psutil.wait_procs(ours, timeout=20)[1]:
            process.kill()
