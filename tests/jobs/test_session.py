"""What `synatt.distributed.session` has a local Ray do otherwise than by itself."""

import os
import subprocess
import sys
import time
from pathlib import Path


def side_by_side(count: int, folder: Path) -> set[int]:
    """The processes of `count` tasks, each of which waits for all others, on two CPUs."""
    import ray

    folder.mkdir()

    def who() -> int:
        (folder / str(os.getpid())).touch()
        until = time.monotonic() + 90
        while len(list(folder.iterdir())) < count and time.monotonic() < until:
            time.sleep(0.05)
        return os.getpid()

    task = ray.remote(num_cpus=0.4)(who)
    return set(ray.get([task.remote() for _ in range(count)]))


def test_workers_that_had_nothing_to_do_for_some_seconds_are_kept(ray_local: None, tmp_path: Path) -> None:
    """More of them than CPUs; a new one would begin with its imports."""
    first = side_by_side(4, tmp_path / "first")
    assert len(first) == 4
    time.sleep(4.0)
    assert side_by_side(4, tmp_path / "second") == first


def test_no_ray_starts_by_itself() -> None:
    """A thread that calls Ray once its session has ended would start another."""
    lines = ["from synatt.distributed import session", "import ray", "ray.put(1)"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1 and "has not been started" in done.stderr, done.stderr[-500:]
