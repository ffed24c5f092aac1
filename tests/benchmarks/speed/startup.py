"""What passes before the first row: imports, `--help`, and a job of one recording against Ray alone."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.speed.raydata import recipe_of
from tests.benchmarks.speed.results import Case
from tests.predictrun import write_model

# Each says how long its process had been there when its first row was done.
SINCE = """
import psutil, time
def since_start():
    return time.time() - psutil.Process().create_time()
"""
# Ray alone, as it is by default, with what any job of Ray Data with a model in an actor has to do.
BARE = (
    SINCE
    + """
import ray
ray.init(log_to_driver=False, logging_level="error")
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
print(since_start())
ray.shutdown()
"""
)
OURS = (
    SINCE
    + """
import sys
from jobs import predict
from tests.benchmarks.pace import watched
with watched() as pace:
    assert predict.main(sys.argv[1:]) == 0
print(since_start() - (time.perf_counter() - pace.seen[0][0]))
"""
)


def whole(argv: list[str]) -> float:
    """Seconds from start to end of a process."""
    start = time.perf_counter()
    _run(argv)
    return time.perf_counter() - start


def told(argv: list[str]) -> float:
    """The seconds that a process says last."""
    return float(_run(argv).splitlines()[-1])


def _run(argv: list[str]) -> str:
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def cases(wav: str, scratch: Path, repeats: int) -> list[Case]:
    write_model(scratch / "start" / "model", recipe_of("quickstart"), 0)
    job = ["--input", wav, "--models", str(scratch / "start" / "model"), "--fresh", "--output"]
    pairs: list[tuple[Callable[[list[str]], float], str, list[str], str, list[str]]] = [
        (whole, "predict --help", ["-m", "jobs.predict", "--help"], "an empty program", ["-c", "pass"]),
        (whole, "import synatt", ["-c", "import synatt"], "import torch", ["-c", "import torch"]),
        (told, "predict to row 1", ["-c", OURS, *job, str(scratch / "start" / "out")], "Ray to row 1", ["-c", BARE]),
        (whole, "predict, 1 clip", ["-m", "jobs.predict", *job, str(scratch / "start" / "out")], "Ray", ["-c", BARE]),
    ]
    made = []
    for seconds, ours, argv, theirs, other in pairs:
        case = Case(f"start: {ours}", "s", less=True)
        for repeat in range(repeats + 1):
            order = ((ours, argv), (theirs, other))
            for name, command in order if repeat % 2 else reversed(order):
                spent = seconds(command)
                # The first time, files come from the disk and are compiled.
                if repeat:
                    case.add(name, spent)
        case.rates = {name: case.rates[name] for name in (ours, theirs)}
        print("\n".join(case.lines()), flush=True)
        made.append(case)
    return made
