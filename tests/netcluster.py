"""A Ray cluster on this machine whose nodes live in network namespaces of their own, so that one can be cut off.

Each node has its own address on a bridge; all share the disk. Needs root and the program `ip` (iproute2).
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.predictrun import ROOT, kill_all

# Ray finds a silent node by its health check: within a minute by default, within some 20 s here.
HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}


class NetCluster:
    """A head in the namespace of the tests and `nodes` more in their own, one CPU each.

    Attributes:
        address: of the cluster.
        env: what a driver needs in its environment.
        place: folder for what Ray writes, and for the logs of the nodes.
    """

    def __init__(self, nodes: int) -> None:
        self.place = Path(tempfile.mkdtemp(dir="/tmp"))
        self._name = f"sy{secrets.token_hex(2)}"
        self._net = f"10.213.{secrets.randbelow(254) + 1}"
        self._spaces = [f"{self._name}n{k}" for k in range(nodes)]
        self._started: list[subprocess.Popen[bytes]] = []
        self.address = f"{self._net}.1:6399"
        # Ray's workers are niced by 15, and stand still on a machine that does something else besides.
        # The token keeps others on this machine out of the cluster; the folder is where it is noted.
        self.env = {
            **HEALTH,
            "RAY_worker_niceness": "0",
            "RAY_TMPDIR": str(self.place),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        for k, space in enumerate(self._spaces):
            _ip("netns", "add", space)
            _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", space, "master", self._name, "up")
            _ip("-n", space, "addr", "add", f"{self._net}.{k + 2}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                _ip("-n", space, "link", "set", link, "up")
        head = ["--head", "--port", self.address.rpartition(":")[2], "--temp-dir", str(self.place)]
        self._ray([*head, "--node-ip-address", f"{self._net}.1"], "head", [])
        for k, space in enumerate(self._spaces):
            own = ["--address", self.address, "--node-ip-address", f"{self._net}.{k + 2}"]
            self._ray(own, f"node{k}", ["ip", "netns", "exec", space])

    def _ray(self, options: list[str], name: str, before: list[str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        log = self.place / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "ray.scripts.scripts", "start", *options, "--block"]
                + ["--num-cpus", "1", "--object-store-memory", str(100 << 20), "--disable-usage-stats"],
                env={**clean, **self.env},
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        give_up_s = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < give_up_s, log.read_text()[-3000:]
            time.sleep(0.1)

    def processes(self, node: int) -> list[psutil.Process]:
        """All processes in a node's namespace."""
        said = subprocess.run(["ip", "netns", "pids", self._spaces[node]], capture_output=True, text=True, check=True)
        return [psutil.Process(int(pid)) for pid in said.stdout.split() if psutil.pid_exists(int(pid))]

    def nodes_with(self, title: str) -> list[int]:
        """The nodes, but the head, that have a process whose title holds `title`."""
        return [k for k in range(len(self._spaces)) if any(title in _title(p) for p in self.processes(k))]

    def cut(self, node: int) -> None:
        """Take the node's link down: nobody is told, and all of its processes go on."""
        _ip("link", "set", self._spaces[node], "down")

    def close(self) -> None:
        for process in self._started:
            try:
                family = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
            except psutil.Error:
                family = []
            kill_all([process.pid, *family])
            process.wait()
        spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
        for k, space in enumerate(self._spaces):
            if space in spaces:
                kill_all([p.pid for p in self.processes(k)])
                _ip("netns", "delete", space)
        # The links end with their namespaces.
        subprocess.run(["ip", "link", "delete", self._name], check=False, capture_output=True)
        shutil.rmtree(self.place, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def net_cluster(nodes: int) -> Iterator[NetCluster]:
    """A running cluster; the test is skipped where namespaces cannot be made."""
    probe = f"sy{secrets.token_hex(3)}"
    if shutil.which("ip") is None or subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        pytest.skip("needs root and iproute2, to make network namespaces")
    _ip("netns", "delete", probe)
    cluster = NetCluster(nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
