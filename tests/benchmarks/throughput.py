"""`predict` against two plain loops over the same files and models, in one run: clips/s and their ratios.

    python -m tests.benchmarks.throughput --clips FOLDER --rows 8000

1. One process, one thread, one model: decode, log-mel and network in a loop; times the number of cores.
2. Six models the original's way: every model reads, decodes and transforms every file again.

Rates of `predict` are those once started: from a quarter of the rows on. The start is shown apart.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from synatt.batch import PredictSettings, predict
from synatt.ensemble import Ensemble, plan
from synatt.recipefile import load_recipe
from synatt.sources import read_rows
from synatt.staging import stage
from tests.benchmarks.pace import watched
from tests.predictrun import make_manifest, write_model

BATCH = 32


def loop_rate(models: list[str], paths: list[str], each_alone: bool) -> float:
    """clips/s of one process and thread; `each_alone`: every model prepares the files for itself."""
    torch.set_num_threads(1)
    ensembles = [Ensemble(plan([m])) for m in models] if each_alone else [Ensemble(plan(models))]
    start = time.perf_counter()
    for ensemble in ensembles:
        for i in range(0, len(paths), BATCH):
            part = paths[i : i + BATCH]
            ensemble.score(stage(part, part, ensemble.plan).logmels, part)
    return len(paths) / (time.perf_counter() - start)


def job_rate(models: list[str], manifest: Path, output: Path) -> tuple[float, float]:
    """(clips/s once started, seconds until the first block) of `predict`."""
    with watched() as pace:
        predict(lambda: read_rows([str(manifest)]), models, str(output), PredictSettings())
    return pace.whole_clips_s, pace.first_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of recordings")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--loop-rows", type=int, default=600, help="rows of a plain loop")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", type=int, default=6, help="models of the second comparison; 0: leave it out")
    parser.add_argument("--recipe", default="quickstart")
    args = parser.parse_args()
    clips = sorted(str(p) for p in Path(args.clips).rglob("*") if p.suffix in (".wav", ".flac"))
    recipe = load_recipe(args.recipe, ["weights.source=random", "classes=[a, b, c, d, e, unknown]"])
    cores = len(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        models = [str(folder / "models" / f"m{i}") for i in range(max(1, args.models))]
        for i, path in enumerate(models):
            backbone = recipe.backbones[0].model_copy(update={"name": f"m{i}"})
            write_model(Path(path), recipe.model_copy(update={"backbones": (backbone,)}), i)
        manifest = make_manifest(folder / "rows.parquet", clips, args.rows)
        looped = list(itertools.islice(itertools.cycle(clips), args.loop_rows))
        cases = [("1 model", models[:1], False)] + ([(f"{args.models} models", models, True)] if args.models else [])
        for (name, used, alone), repeat in itertools.product(cases, range(args.repeats)):
            loop = loop_rate(used, looped[: max(BATCH, args.loop_rows // len(used))], alone)
            rate, first = job_rate(used, manifest, folder / f"out-{name}-{repeat}")
            results.append({"case": name, "loop": loop, "job": rate, "first_block_s": first})
            print(
                f"{name}: loop {loop:.1f} clips/s a core, predict {rate:.1f} clips/s on {cores} cores "
                f"= {rate / cores / loop:.2f} of the loop per core; first block after {first:.1f} s",
                flush=True,
            )
    for name in dict.fromkeys(r["case"] for r in results):
        ratios = [r["job"] / cores / r["loop"] for r in results if r["case"] == name]
        print(f"{name}: median ratio per core {np.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    print(json.dumps({"rows": args.rows, "cores": cores, "torch": torch.__version__, "results": results}))


if __name__ == "__main__":
    main()
