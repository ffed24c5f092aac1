"""Run a command once the cluster has the nodes it is meant for, and let them go when it ends.

Jobs share out the CPUs and GPUs that they find when they start, and a cluster that has shrunk to its head has none. A
node of pool X offers one of the resource X (`resources` of the node types), so that "four of X" means four such nodes:

    ray job submit --working-dir . -- python cluster/with_nodes.py predict=4 -- python -m jobs.predict ...
"""

import argparse
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

POLL_S = 5.0

log = logging.getLogger("synatt.cluster")


def main(argv: Sequence[str] | None = None) -> int:
    args = sys.argv[1:] if argv is None else list(argv)
    at = args.index("--") if "--" in args else len(args)
    own, command = args[:at], args[at + 1 :]
    p = argparse.ArgumentParser("with_nodes.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("pools", nargs="*", type=_pool, metavar="POOL=NODES", help="e.g. predict=4; repeatable")
    p.add_argument("--minutes", type=float, default=30.0, help="longest wait for the nodes (default: 30)")
    p.add_argument("--release", action="store_true", help="only take back what a command that was killed has left")
    options = p.parse_args(own)
    if not options.release and not (options.pools and command):
        p.error("give POOL=NODES and, after --, a command")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run({} if options.release else dict(options.pools), command, options.minutes)


def _pool(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not count.isdecimal() or int(count) == 0:
        raise argparse.ArgumentTypeError(f"{text}: not POOL=NODES, e.g. predict=4")
    return name, int(count)


def run(pools: dict[str, int], command: list[str], minutes: float) -> int:
    """Exit code of `command`; 1 if the nodes did not come. Without pools, only release."""
    import ray
    from ray.autoscaler.sdk import request_resources

    ray.init(address="auto", logging_level=logging.WARNING)
    # `ray job stop` sends SIGTERM: what was asked for is taken back then too. Ray sets a handler of its own before.
    signal.signal(signal.SIGTERM, _exit)
    try:
        if not pools:
            return 0
        request_resources(bundles=[{name: 1} for name, count in pools.items() for _ in range(count)])
        if not _come(pools, minutes):
            return 1
        return _call(command)
    finally:
        # The request outlives this process, and would keep the nodes for ever.
        request_resources(bundles=[])
        ray.shutdown()


def _come(pools: dict[str, int], minutes: float) -> bool:
    import ray

    until = time.monotonic() + 60 * minutes
    said = ""
    while True:
        have = ray.cluster_resources()
        line = ", ".join(f"{name} {have.get(name, 0):g} of {count}" for name, count in pools.items())
        if line != said:
            log.info("nodes: %s", line)
            said = line
        if all(have.get(name, 0) >= count for name, count in pools.items()):
            return True
        if time.monotonic() > until:
            log.error("not all nodes came in %g minutes (%s): see `ray status`", minutes, line)
            return False
        time.sleep(POLL_S)


def _call(command: list[str]) -> int:
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
