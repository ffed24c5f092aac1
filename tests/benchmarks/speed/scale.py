"""`predict` by the number of CPUs, of models and of clips: clips/s from the first block to the last, and start-up."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from synatt.recipe import Recipe
from synatt.recipefile import build_recipe, load_recipe
from tests.benchmarks.speed.results import Case
from tests.predictrun import make_manifest, write_model

RECIPE = "quickstart"


def recipe_of(member: int) -> Recipe:
    recipe = load_recipe(RECIPE, ["weights.source=random"])
    backbone = recipe.backbones[0].model_copy(update={"name": f"m{member:02d}"})
    values = recipe.model_dump(mode="json") | {"classes": ["a", "b", "unknown"], "backbones": [backbone.model_dump()]}
    return build_recipe(values)


def measure(manifest: str, models: list[str], output: str, cpus: int) -> dict[str, float]:
    """One run on the first `cpus` cores, of which Ray knows too."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    from synatt.distributed import session  # sets what Ray reads from the environment

    del session
    import ray

    from synatt.batch import PredictSettings, predict
    from synatt.sources import read_rows
    from tests.benchmarks.pace import watched

    ray.init(num_cpus=cpus, logging_level="error", log_to_driver=False)
    with watched() as pace:
        predict(lambda: read_rows([manifest]), models, output, PredictSettings())
    ray.shutdown()
    return {"clips_s": pace.whole_clips_s, "first_s": pace.first_s}


def run(manifest: Path, models: list[str], output: Path, cpus: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.speed.scale", str(manifest), str(output), str(cpus), *models]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"predict on {cpus} CPUs failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def cases(wavs: tuple[str, ...], scratch: Path, repeats: int, counts: list[int], members: list[int]) -> list[Case]:
    """More CPUs with every number of models, on the fewest clips; then more clips, with all CPUs and one model.

    The more models there are, the fewer clips are scored: each has its share of the work.
    """
    folder, cores = scratch / "scale", len(os.sched_getaffinity(0))
    models = [str(folder / f"m{i:02d}") for i in range(max(members))]
    for i, path in enumerate(models):
        write_model(Path(path), recipe_of(i), i)
    cpus = sorted({1, cores}, reverse=True)
    made: list[Case] = []

    def measured(case: Case, name: str, rows: int, used: list[str], on: int, repeat: int) -> None:
        manifest = folder / f"{rows}.parquet"
        if not manifest.is_file():
            make_manifest(manifest, list(wavs), rows)
        output = folder / f"out-{len(made)}-{rows}-{len(used)}-{on}-{repeat}"
        found = run(manifest, used, output, on)
        case.add(name, found["clips_s"])
        case.notes.setdefault("seconds until the first block", {})[name] = round(found["first_s"], 1)

    for count in members:
        rows = max(500, counts[0] // count)
        case = Case(f"predict, {count} models, {rows:,} clips", "clips/s")
        for repeat in range(repeats):
            for on in cpus if repeat % 2 else reversed(cpus):
                measured(case, f"{on} CPUs", rows, models[:count], on, repeat)
        made.append(_ordered(case, [f"{on} CPUs" for on in cpus]))
    case = Case(f"predict, 1 model, {cores} CPUs", "clips/s")
    for repeat in range(repeats):
        for rows in counts:
            measured(case, f"{rows:,} clips", rows, models[:1], cores, repeat)
    made.append(_ordered(case, [f"{rows:,} clips" for rows in reversed(counts)]))
    return made


def _ordered(case: Case, names: list[str]) -> Case:
    case.rates = {name: case.rates[name] for name in names}
    print("\n".join(case.lines()), flush=True)
    return case


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in (("manifest", str), ("output", str), ("cpus", int)):
        parser.add_argument(name, type=kind)
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    print(json.dumps(measure(args.manifest, args.models, args.output, args.cpus)))
