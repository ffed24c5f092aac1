"""What `synatt.distributed.session` has a local Ray do otherwise than by itself."""

import os
import time


def side_by_side(count: int) -> set[int]:
    """The processes of `count` tasks that run at once on two CPUs."""
    import ray

    def who() -> int:
        time.sleep(1.0)
        return os.getpid()

    task = ray.remote(num_cpus=0.4)(who)
    return set(ray.get([task.remote() for _ in range(count)]))


def test_workers_that_had_nothing_to_do_for_some_seconds_are_kept(ray_local: None) -> None:
    """More of them than CPUs; a new one would begin with its imports."""
    first = side_by_side(4)
    assert len(first) == 4
    time.sleep(4.0)
    assert side_by_side(4) <= first
