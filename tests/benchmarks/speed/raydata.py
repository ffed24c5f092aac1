"""Ray's share: the decode stage of `predict` through Ray Data, against the same function in a pool of processes."""

import os
import time
from collections import Counter
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from synatt import storage, worklist
from synatt.ensemble import plan
from synatt.recipe import Recipe
from synatt.recipefile import build_recipe, load_recipe
from synatt.sources import read_rows
from synatt.staging import BLOCK_BYTES, stage_shard
from tests.benchmarks.pace import Pace
from tests.benchmarks.speed.results import Case
from tests.predictrun import make_manifest, write_model

RECIPES = ("quickstart", "part1")
# Kinds of processes, by what stands in their command lines.
KINDS = {"workers": "ray::", "raylet": "raylet/raylet", "GCS": "gcs_server", "dashboard": "dashboard"}


def recipe_of(name: str) -> Recipe:
    values = load_recipe(name, ["weights.source=random"]).model_dump(mode="json")
    recipe = build_recipe({**values, "classes": ["a", "b", "unknown"]})
    # The network is not run; a small one is quick to write.
    return recipe.model_copy(update={"backbones": (recipe.backbones[0].model_copy(update={"timm": "test_resnet"}),)})


def in_pool(scoring: Any, shards: list[int], workers: int) -> Pace:
    pace = Pace()
    with get_context("spawn").Pool(workers, _set_up, (scoring,)) as made:
        for rows in made.imap_unordered(_stage, shards):
            pace.seen.append((time.perf_counter(), rows))
    return pace


_SCORING: list[Any] = []


def _set_up(scoring: Any) -> None:
    import torch

    from synatt.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    _SCORING.append(scoring)


def _stage(shard: int) -> int:
    scoring = _SCORING[0]
    rows = worklist.read_shard(scoring.work, scoring.segment, shard)
    return sum(len(units.outcomes) for units in stage_shard(rows, scoring.plan))


def _seconds_by_kind() -> Counter[str]:
    """Processor seconds so far of this process and of all that Ray started for it, by what they are."""
    import psutil

    spent: Counter[str] = Counter()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            line, times = " ".join(process.cmdline()), process.cpu_times()
            kind = next((kind for kind, sign in KINDS.items() if sign in line), "other services of Ray")
            spent["driver" if process.pid == os.getpid() else kind] += times.user + times.system
    return spent


def by_ray(scoring: Any, shards: list[int]) -> Pace:
    import ray

    from synatt.distributed.streams import decode

    pace = Pace()
    data = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    blocks = data.map_batches(
        decode,  # type: ignore[arg-type]
        batch_size=None,
        batch_format="numpy",
        fn_kwargs={"scoring": scoring},
        num_cpus=1,
    )
    for batch in blocks.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
        pace.seen.append((time.perf_counter(), len(batch["row"])))
    return pace


def cases(wavs: tuple[str, ...], scratch: Path, workers: int, repeats: int, rows: int) -> list[Case]:
    # Before Ray, which reads its environment when it is imported.
    from synatt.distributed.session import ray_session

    import ray  # isort: skip

    from synatt.distributed.streams import Scoring

    made = []
    for name in RECIPES:
        folder = scratch / name
        write_model(folder / "model", recipe_of(name), 0)
        manifest = make_manifest(folder / "rows.parquet", list(wavs), rows)
        staging = str(folder / "staging")
        work = worklist.write(read_rows([str(manifest)]), storage.join(staging, "work"))
        segment = work.segments[0]
        shards = list(range(segment.shards))
        scoring = Scoring(
            plan([str(folder / "model")]), "run", storage.join(staging, "work"), staging, segment.name, None, ()
        )
        case = Case(f"decode stage of predict, {name}, {rows} clips", "clips/s")
        firsts: dict[str, list[float]] = {"Ray Data": [], "pool of processes": []}
        spent: Counter[str] = Counter()
        with ray_session(None):
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.target_max_block_size = BLOCK_BYTES
            for repeat in range(repeats):
                for way in (*firsts,) if repeat % 2 else reversed((*firsts,)):
                    before = _seconds_by_kind()
                    pace = by_ray(scoring, shards) if way == "Ray Data" else in_pool(scoring, shards, workers)
                    if way == "Ray Data":
                        spent += _seconds_by_kind() - before
                    case.add(way, pace.clips_s)
                    firsts[way].append(pace.first_s)
        case.rates = {way: case.rates[way] for way in firsts}
        case.notes = {f"{way}: seconds to the first block": round(float(np.median(s)), 1) for way, s in firsts.items()}
        case.notes["Ray Data: ms of processor time a clip"] = {
            kind: round(1000 * seconds / repeats / rows, 3) for kind, seconds in spent.most_common()
        }
        print("\n".join(case.lines()), flush=True)
        made.append(case)
    return made
