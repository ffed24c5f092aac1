"""What passes before the first row: imports, `--help`, and a job of one recording against Ray alone."""

import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.speed.raydata import recipe_of
from tests.benchmarks.speed.results import Case
from tests.predictrun import write_model

# Ray alone, with what any job of Ray Data with a model in an actor has to do.
BARE = """
import ray
ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
ray.data.DataContext.get_current().enable_progress_bars = False
class Model:
    def __init__(self):
        import timm, torch
        self.net = timm.create_model("test_resnet")
    def __call__(self, batch):
        return batch
def decode(batch):
    import torch, soundfile
    return batch
data = ray.data.from_items([{"shard": 0}]).map_batches(decode, num_cpus=0.5)
data = data.map_batches(Model, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=0.01)
assert data.take_all() == [{"shard": 0}]
ray.shutdown()
"""


def seconds(*argv: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.perf_counter() - start


def cases(wav: str, scratch: Path, repeats: int) -> list[Case]:
    write_model(scratch / "start" / "model", recipe_of("quickstart"), 0)
    job = ["-m", "jobs.predict", "--input", wav, "--models", str(scratch / "start" / "model"), "--fresh", "--output"]
    pairs: list[tuple[str, list[str], str, list[str]]] = [
        ("predict --help", ["-m", "jobs.predict", "--help"], "an empty program", ["-c", "pass"]),
        ("import synatt", ["-c", "import synatt"], "import torch", ["-c", "import torch"]),
        ("predict, 1 clip", [*job, str(scratch / "start" / "out")], "Ray alone", ["-c", BARE]),
    ]
    made = []
    for ours, argv, theirs, other in pairs:
        case = Case(f"start: {ours}", "s", less=True)
        for repeat in range(repeats + 1):
            order = ((ours, argv), (theirs, other))
            for name, command in order if repeat % 2 else reversed(order):
                spent = seconds(*command)
                # The first time, files come from the disk and are compiled.
                if repeat:
                    case.add(name, spent)
        case.rates = {name: case.rates[name] for name in (ours, theirs)}
        print("\n".join(case.lines()), flush=True)
        made.append(case)
    return made
