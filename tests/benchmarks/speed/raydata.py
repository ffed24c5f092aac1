"""Ray's share: the decode stage of `predict` through Ray Data, against the same function in a pool of processes.

Twice: once both hand their log-mels to the process that asked for them, as a stage hands them to the next, and once
both hand over nothing but how many they made.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
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


def in_pool(scoring: Any, shards: list[int], workers: int, handed: bool) -> Pace:
    pace = Pace()
    with get_context("spawn").Pool(workers, _set_up, (scoring,)) as made:
        for found in made.imap_unordered(_stage if handed else _count, shards):
            rows = found if isinstance(found, int) else sum(len(next(iter(block.values()))) for block in found)
            pace.seen.append((time.perf_counter(), rows))
    return pace


_SCORING: list[Any] = []


def _set_up(scoring: Any) -> None:
    import torch

    from synatt.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    _SCORING.append(scoring)


def _stage(shard: int) -> list[dict[str, np.ndarray]]:
    scoring = _SCORING[0]
    rows = worklist.read_shard(scoring.work, scoring.segment, shard)
    return [units.logmels for units in stage_shard(rows, scoring.plan)]


def _count(shard: int) -> int:
    return sum(len(next(iter(block.values()))) for block in _stage(shard))


def _seconds_by_kind() -> Counter[str]:
    """Processor seconds so far of this process and of what it started and has not ended, by what they are."""
    import psutil

    spent: Counter[str] = Counter()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            line, times = " ".join(process.cmdline()), process.cpu_times()
            kind = next((kind for kind, sign in KINDS.items() if sign in line), "other services of Ray")
            spent["driver" if process.pid == os.getpid() else kind] += times.user + times.system
    return spent


def _decode_and_count(block: dict[str, np.ndarray], scoring: Any) -> Iterator[dict[str, np.ndarray]]:
    from synatt.distributed.streams import decode

    for made in decode(block, scoring):
        yield {"row": made["row"]}


def by_ray(scoring: Any, shards: list[int], handed: bool) -> Pace:
    import ray

    from synatt.distributed.capacity import capacity
    from synatt.distributed.streams import decode, share_out

    pace = Pace()
    data = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    blocks = data.map_batches(
        decode if handed else _decode_and_count,  # type: ignore[arg-type]
        batch_size=None,
        batch_format="numpy",
        fn_kwargs={"scoring": scoring},
        # As in `predict`.
        num_cpus=share_out(capacity(), 1, len(shards)).decode_cpus,
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
        with ray_session(None):
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.target_max_block_size = BLOCK_BYTES
            for handed in (True, False):
                title = f"decode stage of predict, {name}, {rows} clips, {'log-mels' if handed else 'counts'} handed on"
                made.append(_case(title, scoring, shards, workers, repeats, rows, handed))
    return made


def _case(title: str, scoring: Any, shards: list[int], workers: int, repeats: int, rows: int, handed: bool) -> Case:
    case = Case(title, "clips/s")
    firsts: dict[str, list[float]] = {"Ray Data": [], "pool of processes": []}
    spent: Counter[str] = Counter()
    for repeat in range(repeats):
        for way in (*firsts,) if repeat % 2 else reversed((*firsts,)):
            before, by_pool = _seconds_by_kind(), way != "Ray Data"
            pace = in_pool(scoring, shards, workers, handed) if by_pool else by_ray(scoring, shards, handed)
            if not by_pool:
                spent += _seconds_by_kind() - before
            case.add(way, pace.clips_s)
            firsts[way].append(pace.first_s)
    case.rates = {way: case.rates[way] for way in firsts}
    case.notes = {f"{way}: seconds to the first block": round(float(np.median(s)), 1) for way, s in firsts.items()}
    case.notes["Ray Data: ms of processor time a clip"] = {
        kind: round(1000 * seconds / repeats / rows, 3) for kind, seconds in spent.most_common()
    }
    print("\n".join(case.lines()), flush=True)
    return case
