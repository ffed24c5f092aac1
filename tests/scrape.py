"""What Prometheus would see of the Ray that this process is connected to."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

# Sample name -> (labels, value) of each series.
Scrape = dict[str, list[tuple[dict[str, str], float]]]


def targets() -> list[str]:
    """host:port of each endpoint in Ray's file for Prometheus' service discovery."""
    import ray

    path = Path(ray._private.worker._global_node.get_session_dir_path()) / "prom_metrics_service_discovery.json"
    return [target for group in json.loads(path.read_text()) for target in group["targets"]]


def scrape() -> Scrape:
    from prometheus_client.parser import text_string_to_metric_families

    found: Scrape = {}
    for target in targets():
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def scrape_until(ready: Callable[[Scrape], bool], limit_s: float = 60) -> Scrape:
    """What is scraped once `ready` says so: workers report once a second."""
    deadline = time.monotonic() + limit_s
    while not ready(found := scrape()):
        assert time.monotonic() < deadline, {n: s for n, s in found.items() if "synatt" in n}
        time.sleep(0.5)
    return found


def total(found: Scrape, name: str, **labels: str) -> float:
    """Sum over the series of a name that have these labels."""
    series = found.get(name, [])
    return sum(value for has, value in series if labels.items() <= has.items())
