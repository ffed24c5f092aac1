"""cluster/sizing.py: which resource is short first, and how long a job takes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.sizing import Cluster, Job, hours, limits

JOB = Job(clips=36e6, clip_kb=100, decode_rate=200, network_rate=200)


@pytest.mark.parametrize(
    ("cluster", "first", "rate"),
    [
        (Cluster(2, 10, prefixes=10), "CPU", 2 * 10 * 100),
        (Cluster(2, 10, gpus=1, prefixes=10), "GPUs", 2 * 200),
        (Cluster(2, 1, gpus=4, prefixes=10), "decode CPU", 2 * 200),
        (Cluster(2, 100, gbit_s=0.8, prefixes=10), "network", 2 * 1000),
        (Cluster(64, 100), "storage requests", 5500),
    ],
)
def test_the_scarcest_resource_sets_the_rate(cluster: Cluster, first: str, rate: float) -> None:
    found = limits(JOB, cluster)
    assert min(found, key=found.__getitem__) == first
    assert found[first] == pytest.approx(rate)
    assert hours(JOB, cluster) == pytest.approx(JOB.clips / rate / 3600)


def test_more_nodes_help_until_storage_is_short() -> None:
    took = [hours(JOB, Cluster(n, 10, prefixes=2)) for n in (1, 2, 16, 32)]
    assert took[0] == pytest.approx(2 * took[1]) and took[2] == took[3] == pytest.approx(36e6 / 11000 / 3600)
    assert hours(replace(JOB, clips=72e6), Cluster(1, 10)) == pytest.approx(2 * took[0])


def test_the_command_of_its_help_runs() -> None:
    script = Path(__file__).parents[2] / "cluster" / "sizing.py"
    given = "--clips 100e6 --nodes 16 --cores 8 --decode-rate 290 --network-rate 146 --node-hour 0.8".split()
    said = subprocess.run([sys.executable, script, *given], capture_output=True, text=True, check=True).stdout
    assert said == (
        "16 nodes: 5,500 clips/s, 5.1 h, 65 for nodes; first: storage requests; "
        "in use: CPU 44%, network 2%, storage requests 100%\n"
    )
