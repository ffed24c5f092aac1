"""A Ray head of a test's own, and `ray job` on it as a person types it."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.predictrun import kill_all

RAY = Path(sysconfig.get_path("scripts")) / "ray"
START_S, JOB_S = 120, 1800


@dataclass(frozen=True)
class Head:
    """A running head: where its job API is, the environment that may use it, and what `ray start` says."""

    url: str
    env: dict[str, str]
    log: Path

    def job(self, verb: str, *args: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """`ray job VERB --address ... ARGS`, with both its outputs in `stdout`."""
        command = [RAY, "job", verb, "--address", self.url, *map(str, args)]
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=JOB_S,
        )

    def submit(self, name: str, folder: Path, *command: object, options: tuple[str, ...] = ()) -> str:
        """Submit `command` from `folder` as the job `name` and wait for it, unless told not to; what was printed."""
        given = ("--submission-id", name, "--working-dir", ".", *options, "--", *command)
        return self.job("submit", *given, cwd=folder).stdout

    def status(self, name: str) -> str:
        return self.job("status", name).stdout

    def logs(self, name: str) -> str:
        return self.job("logs", name).stdout

    def wait(self, name: str, ready: Callable[[], bool] = lambda: False) -> str:
        """Its status once the job is `ready`, or has ended, however."""
        until = time.monotonic() + JOB_S
        while "Status for job" in (told := self.status(name)):
            assert time.monotonic() < until, f"{told}\n{self.logs(name)[-3000:]}"
            looked = time.monotonic()
            # Each status costs a process: the files of a job are looked at in between.
            while time.monotonic() < looked + 2:
                if ready():
                    return told
                time.sleep(0.1)
        return told


@contextmanager
def started_head(cpus: int = 2) -> Iterator[Head]:
    """Start a head for the length of a `with` block, which meets no other Ray on this machine.

    Its files are in a folder of its own (with a short name, for Ray's sockets), where it is noted too: no other
    `ray.init()` finds it, and its workers find no other. All its ports are free ones: a dashboard agent whose port
    another Ray has stays without a job API, which `ray job submit` calls "No available agent". It takes nobody without
    its token, like a Ray that finds one in ~/.ray.
    """
    place = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    url = f"http://127.0.0.1:{(ports := free_ports(2))[0]}"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") and k != "PYTHONPATH"}
    env = {
        **clean,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_TMPDIR": str(place),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Workers as fast as what else runs here.
        "RAY_worker_niceness": "0",
    }
    command = [RAY, "start", "--head", "--block", "--port=0", f"--num-cpus={cpus}"]
    command += [f"--dashboard-port={ports[0]}", "--dashboard-agent-listen-port=0"]
    command += [f"--ray-client-server-port={ports[1]}", "--min-worker-port=0", "--max-worker-port=0"]
    command += [f"--object-store-memory={200 << 20}"]
    log = place / "start.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=place, env=env, stdout=out, stderr=subprocess.STDOUT)
    family = [psutil.Process(process.pid)]
    try:
        wait_for(lambda: "Ray runtime started" in log.read_text() and _answers(url), process, log)
        yield Head(url, env, log)
    finally:
        if process.poll() is None:
            family += family[0].children(recursive=True)
        # Like a machine that is switched off; a head that is told to go waits for its tasks first.
        kill_all([one.pid for one in family])
        process.wait()
        psutil.wait_procs(family, timeout=30)
        shutil.rmtree(place, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("", 0)) for _ in range(count)]
    try:
        return [server.getsockname()[1] for server in taken]
    finally:
        for server in taken:
            server.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/gcs_healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(
    ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, limit_s: float = START_S
) -> None:
    until = time.monotonic() + limit_s
    while not ready():
        assert process.poll() is None, f"the head ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < until, f"the head does not answer: {log.read_text()[-3000:]}"
        time.sleep(0.2)
