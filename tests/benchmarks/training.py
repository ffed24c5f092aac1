"""Training: the `train` job against a bare step loop, what log-mels and augmentation cost, what each lever gains.

    python -m tests.benchmarks.training [--clips 1280] [--repeats 3] [--levers]

All numbers are of this machine and this moment; only ratios taken in one run mean something. The bare loop has its
waveforms in memory and does the same work a step (log-mel, augmentation, network, optimiser) in one process; it is
also run in a worker of Ray Train, since on few cores Ray's own processes take a share of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import torch

from synatt import backbones, load_recipe
from synatt.allocator import keep_freed_memory
from synatt.clip import fit, standardise
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.feed import Examples
from synatt.optimising import arranged, make_optimizer
from synatt.precision import Precision
from synatt.recipe import Recipe
from synatt.recipefile import build_recipe
from synatt.step import augmented, micro_step
from synatt.training import Run, make_plan

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["a", "b", "c", "d", "e", "unknown"]
EXACT = Precision(torch.device("cpu"), None)
LEVERS = [
    {"channels_last": False},
    {"fused": True},
    {"ema_decay": 0.999},
    {"precision": "bfloat16"},
    {"grad_checkpointing": True},
    {"freeze_epochs": 99},
    {"compile": True},
]


def quickstart() -> Recipe:
    return build_recipe({**load_recipe("quickstart").model_dump(mode="json"), "classes": CLASSES})


def make_clips(folder: Path, count: int) -> list[str]:
    """3 s wavs cut from real speech, each from another place."""
    with np.load(ROOT / "tests" / "data" / "golden_logmel.npz") as arrays:
        speech = np.concatenate([arrays["pcm16_6s"], arrays["pcm16_8s"]])
    starts = np.linspace(0, len(speech) - 48_000, count).astype(int)
    paths = [str(folder / f"clip{i:05d}.wav") for i in range(count)]
    for start, path in zip(starts, paths, strict=True):
        sf.write(path, speech[start : start + 48_000], 16_000, subtype="PCM_16")
    return paths


def make_store(folder: Path, paths: list[str]) -> tuple[ClipStore, Examples]:
    tracks = [f"t{i:05d}" for i in range(len(paths))]
    names = [store_shard(str(folder), shard, 60.0) for shard in plan_shards(tracks, paths)]
    target = np.eye(6, dtype=np.float32)[np.arange(len(paths)) % 6]
    return ClipStore(str(folder), names), Examples(tuple(tracks), target)


def bare_epoch(recipe: Recipe, waves: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """Clips per second of one pass, and the seconds that log-mels + augmentation and the network took a clip."""
    batch, rng = recipe.backbones[0].batch[0], np.random.default_rng(0)
    net = arranged(backbones.create(recipe.backbones[0], recipe), recipe.train, EXACT.device).train()
    optimizer = make_optimizer(net, recipe.train)
    weight = torch.full((batch,), 1 / batch)
    spent = {"augment_s": 0.0, "network_s": 0.0}
    order = torch.randperm(len(waves))
    start = time.perf_counter()
    for at in range(0, len(waves) - batch + 1, batch):
        rows = order[at : at + batch]
        begun = time.perf_counter()
        logmel, mixed = augmented(waves[rows], target[rows], recipe, rng)
        middle = time.perf_counter()
        micro_step(net, logmel, mixed, weight, recipe.train, 1, EXACT)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        spent["augment_s"] += middle - begun
        spent["network_s"] += time.perf_counter() - middle
    done = len(waves) // batch * batch
    return {"clips_s": done / (time.perf_counter() - start), **{k: v / done for k, v in spent.items()}}


def bare_in_ray(folder: Path) -> float:
    """Clips per second of the bare loop in a worker of Ray Train: what Ray's own processes take of this machine."""
    source = f"""
import numpy as np, torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from synatt.distributed.session import ray_session
from synatt.distributed.worker import quieten_ray
from synatt.allocator import keep_freed_memory
from tests.benchmarks import training as bench

def loop():
    quieten_ray()
    keep_freed_memory()
    torch.set_num_threads({torch.get_num_threads()})
    with np.load({str(folder / "bare.npz")!r}) as kept:
        waves, target = torch.from_numpy(kept["waves"]), torch.from_numpy(kept["target"])
    rates = [bench.bare_epoch(bench.quickstart(), waves, target)["clips_s"] for _ in range(4)]
    open({str(folder / "rate.txt")!r}, "w").write(str(sorted(rates[1:])[1]))

with ray_session():
    scaling, run = ScalingConfig(num_workers=1), RunConfig(storage_path={str(folder / "ray")!r})
    TorchTrainer(loop, scaling_config=scaling, run_config=run).fit()
"""
    subprocess.run([sys.executable, "-c", source], check=True, cwd=ROOT, capture_output=True)
    return float((folder / "rate.txt").read_text())


def product(paths: list[str], folder: Path, epochs: int) -> tuple[float, float]:
    """(clips per second of the `train` job's epochs after the first, share of them spent waiting for data)."""
    rows = {"track": [f"t{i:05d}" for i in range(len(paths))], "path": paths}
    rows |= {"label": [i % 6 for i in range(len(paths))], "split": ["train"] * len(paths)}
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet", index=False)
    argv = [
        "--input",
        folder / "rows.parquet",
        "--recipe",
        "quickstart",
        "--output",
        folder / f"models{time.time_ns()}",
    ]
    argv += ["--clips", folder / "clips", "--set", f"backbones.0.epochs=[{epochs},1]", "--set", f"classes={CLASSES}"]
    subprocess.run([sys.executable, "-m", "jobs.train", *map(str, argv)], check=True, cwd=ROOT, capture_output=True)
    curve = pd.read_csv(Path(argv[5]) / "EfficientNetLite0" / "curve.csv").iloc[1:]
    return float((curve.clips / curve.seconds).median()), float((curve.wait_s / curve.seconds).median())


def lever_rates(
    recipe: Recipe, store: ClipStore, rows: Examples, lever: dict[str, object], repeats: int
) -> list[float]:
    """Clips per second with a lever over clips per second without it, alternating."""
    changed = build_recipe({**recipe.model_dump(mode="json"), "train": {**recipe.train.model_dump(), **lever}})

    def epochs(used: Recipe) -> "object":
        plan = make_plan(used, used.backbones[0], 0, repeats + 1, 1)
        return iter(Run(plan, rows, None, store, EXACT.device).epochs())

    with_it, without = epochs(changed), epochs(recipe)
    ratios = []
    for i in range(repeats + 1):
        a, b = next(with_it), next(without)  # type: ignore[call-overload]
        if i:  # the first epoch compiles and warms up
            ratios.append(a["clips"] / a["seconds"] / (b["clips"] / b["seconds"]))
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--levers", action="store_true", help="measure the speed levers too")
    args = parser.parse_args()
    # As the job's workers do.
    keep_freed_memory()
    recipe = quickstart()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_clips(folder, args.clips)
        store, rows = make_store(folder / "store", paths)
        waves = torch.from_numpy(
            np.stack(
                [
                    fit(standardise(store.wave(t)), recipe.clip_samples, "zeros", np.random.default_rng(0))
                    for t in rows.tracks
                ]
            )
        )
        target = torch.from_numpy(rows.target)
        np.savez(folder / "bare.npz", waves=waves.numpy(), target=rows.target)
        bare, in_ray, ours = [], [], []
        for _ in range(args.repeats):
            bare.append(bare_epoch(recipe, waves, target))
            in_ray.append(bare_in_ray(folder))
            ours.append(product(paths, folder, 4))
        rate = statistics.median(b["clips_s"] for b in bare)
        got, wait = (statistics.median(values) for values in zip(*ours, strict=True))
        found = {
            "bare_clips_s": rate,
            "bare_in_a_ray_worker_clips_s": statistics.median(in_ray),
            "train_job_clips_s": got,
            "ratio_to_bare": got / rate,
            "ratio_to_bare_in_a_ray_worker": got / statistics.median(in_ray),
            "data_wait_share": wait,
            "augment_ms_a_clip": 1e3 * statistics.median(b["augment_s"] for b in bare),
            "network_ms_a_clip": 1e3 * statistics.median(b["network_s"] for b in bare),
        }
        print(json.dumps(found, indent=1), flush=True)
        if args.levers:
            some = Examples(rows.tracks[:256], rows.target[:256])
            for lever in LEVERS:
                ratios = lever_rates(recipe, store, some, lever, args.repeats)
                print(f"{lever}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
