"""How long `predict` takes on N nodes, and what is short first: decode CPU, networks, bandwidth, storage requests.

    python cluster/sizing.py --clips 100e6 --nodes 16 --cores 8 --decode-rate 290 --network-rate 146

Rates are clips/s, measured on machines like yours by `python -m tests.benchmarks.speed`: decode and log-mel per core
(`--only ray`, divided by the cores), networks per core or, with `--gpus`, per GPU, all members of the ensemble together
(`--only networks`: 1 / the sum of 1 / each rate). Two vCPUs are one core.
"""

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Nodes of one kind, and the storage they read from.

    Attributes:
        cores, gpus: of each node; without GPUs networks run on the cores too.
        gbit_s: bandwidth of a node's link to storage.
        prefixes: of the bucket, over which the clips are spread; without end where they lie in large files.
        requests_s: that storage answers for each prefix (S3: 5,500 GET, AWS's figure).
    """

    nodes: int
    cores: float
    gpus: int = 0
    gbit_s: float = 10.0
    prefixes: float = 1
    requests_s: float = 5500.0


@dataclass(frozen=True)
class Job:
    """What is to be done for each clip.

    Attributes:
        clip_kb: 1,000 bytes that are read.
        decode_rate: clips/s of a core, decoding and log-mel.
        network_rate: clips/s of a core, or of a GPU where there are any, for the whole ensemble.
    """

    clips: float
    clip_kb: float
    decode_rate: float
    network_rate: float


def limits(job: Job, cluster: Cluster) -> dict[str, float]:
    """clips/s that each resource allows by itself."""
    cores = cluster.nodes * cluster.cores
    if cluster.gpus:
        found = {"decode CPU": cores * job.decode_rate, "GPUs": cluster.nodes * cluster.gpus * job.network_rate}
    else:
        found = {"CPU": cores / (1 / job.decode_rate + 1 / job.network_rate)}
    found["network"] = cluster.nodes * cluster.gbit_s * 1e9 / 8 / (job.clip_kb * 1e3)
    found["storage requests"] = cluster.prefixes * cluster.requests_s
    return found


def hours(job: Job, cluster: Cluster) -> float:
    """Of work, without the worklist and the start of the nodes."""
    return job.clips / min(limits(job, cluster).values()) / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=float, required=True)
    parser.add_argument("--clip-kb", type=float, default=78.0, help="default: FLAC of 4.2 s at 16 kHz")
    parser.add_argument("--decode-rate", type=float, required=True, help="clips/s of a core")
    parser.add_argument("--network-rate", type=float, required=True, help="clips/s of a core, or of a GPU with --gpus")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--cores", type=float, required=True, help="of a node")
    parser.add_argument("--gpus", type=int, default=0, help="of a node")
    parser.add_argument("--gbit-s", type=float, default=10.0, help="of a node (default: %(default)s)")
    parser.add_argument("--prefixes", type=float, default=1, help="of the bucket (default: %(default)s)")
    parser.add_argument("--node-hour", type=float, help="price of a node for an hour")
    args = parser.parse_args()
    job = Job(args.clips, args.clip_kb, args.decode_rate, args.network_rate)
    for nodes in args.nodes:
        cluster = Cluster(nodes, args.cores, args.gpus, args.gbit_s, args.prefixes)
        found = limits(job, cluster)
        first, rate = min(found.items(), key=lambda item: item[1])
        used = ", ".join(f"{name} {rate / limit:.0%}" for name, limit in found.items())
        cost = f", {hours(job, cluster) * nodes * args.node_hour:.0f} for nodes" if args.node_hour else ""
        print(f"{nodes} nodes: {rate:,.0f} clips/s, {hours(job, cluster):.1f} h{cost}; first: {first}; in use: {used}")


if __name__ == "__main__":
    main()
