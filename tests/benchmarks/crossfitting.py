"""What soft labels teach of the very clips that had them: all at once, or cross-fitted.

    python -m tests.benchmarks.crossfitting --input ROWS --decision FOLDS --output DIR \\
        --leave-out 2:espeak_klatt,algorithm_1 [--seeds 1 2 3] [--set KEY=VALUE]

As `tests.benchmarks.ablation`, on training rows of a manifest alone: one network of `--recipe` is trained without the
generators and voices that are left out, and gives those clips soft labels, each once strongly perturbed and once at
another level, by the decision that `tune` wrote to FOLDS. Then one network is trained with all soft labels, and one
without those of each of two folds. All answer for all of these clips: AUROC of the decision's score, unknown against
known speech, and the share of known and of unknown clips whose most probable class is right. Finished runs in DIR are
kept and not repeated.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from synatt import manifest
from synatt.allocator import keep_freed_memory
from synatt.clip import crops
from synatt.clipstore import ClipStore
from synatt.constants import RATE_HZ
from synatt.crossfit import soft_folds, track_keys
from synatt.fitting import read_choice, training_rows, with_classes
from synatt.members import without
from synatt.metrics import detection_scores, score_counts
from synatt.openset import Confidence, probabilities
from synatt.perturb import LEVELS
from synatt.recipe import Recipe
from synatt.recipefile import load_recipe
from synatt.training import Run
from synatt.validation import answers, judged_wave
from tests.benchmarks.ablation import Split, left_out, make_store, split, trained

STRONG, MILDER = "strong", "milder"


def judged_clips(parts: Split) -> list[tuple[str, str]]:
    """(level, track): each track strongly perturbed, and at one of the other levels, by its key."""
    tracks = parts.judged.column("track")
    others = [level for level in LEVELS if level != STRONG]
    drawn = track_keys(tracks).view(np.uint64) % np.uint64(len(others))
    return [(STRONG, t) for t in tracks] + [(others[int(i)], t) for i, t in zip(drawn, tracks, strict=True)]


def told(run: Run, clips: list[tuple[str, str]], store: ClipStore, recipe: Recipe, unknown: int) -> dict[str, Any]:
    """Probabilities ``[B, C]`` of the judged clips by one network, as softmax and by the recipe's decision."""
    net, count = run.judged.eval(), recipe.predict.crops

    def shown() -> Iterator[np.ndarray]:
        for level, track in clips:
            yield from crops(judged_wave(store, track, level), recipe.clip_samples, recipe.clip.pad, count)

    vectors, logits = answers(net, shown(), recipe, run.precision)
    known = run.neighbours()
    assert known, "there are too few known clips, or predict.neighbours is 0"
    means = vectors.reshape(len(clips), count, -1).mean(axis=1)
    logits_BKC = torch.from_numpy(logits).unflatten(0, (len(clips), count))
    unlikeness_BK = torch.from_numpy(known.unlikeness(means)).float()[:, None].expand(-1, count)
    how = Confidence.of(recipe.predict)
    decided = probabilities(logits_BKC, how, unknown, unlikeness_BK).mean(dim=1)
    return {"p": torch.softmax(logits_BKC, -1).mean(dim=1).numpy(), "decided": decided.numpy()}


def soft_rows(
    clips: list[tuple[str, str]], p_BC: np.ndarray, folder: Path, store: ClipStore, classes: tuple[str, ...]
) -> manifest.Manifest:
    """The judged clips as recordings with soft labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for (level, track), p in zip(clips, p_BC.astype(np.float64), strict=True):
        path = folder / f"{level}-{track_keys([track])[0]}.flac"
        if not path.is_file():
            wave = judged_wave(store, track, level)
            soundfile.write(path, 0.5 * wave / max(float(np.abs(wave).max()), 1e-9), RATE_HZ)
        rows.append({"track": f"{level}:{track}", "path": str(path), "p": (p / p.sum()).tolist(), "split": "eval"})
    return manifest.build(rows, classes)


def rounds(recipe: Recipe, parts: Split, output: Path, clips_folder: Path, seed: int) -> dict[str, np.ndarray]:
    """Condition -> (probabilities, decided ones) ``[2, B, C]`` of all judged clips."""
    file, clips = output / f"{seed}.npz", judged_clips(parts)
    if file.is_file():
        with np.load(file) as kept:
            return dict(kept)
    recipe = recipe.model_copy(update={"classes": parts.train.classes})
    judged = make_store(clips_folder, parts.judged, recipe.model_copy(update={"augment": type(recipe.augment)()}))

    def one(rows: manifest.Manifest) -> dict[str, Any]:
        return told(trained(recipe, rows, make_store(clips_folder, rows, recipe)), clips, judged, recipe, parts.unknown)

    print(f"seed {seed}: first round", flush=True)
    first = one(parts.train)
    soft = soft_rows(clips, first["decided"], output / f"soft{seed}", judged, recipe.require_classes())
    print(f"seed {seed}: all soft labels", flush=True)
    everything = one(manifest.concat([parts.train, soft]))
    # Both recordings of a track are in one fold: they say the same sentence.
    fold = soft_folds(parts.judged.column("track"), 2)
    fold_of = dict(zip(parts.judged.column("track"), fold, strict=True))
    crossed = {name: values.copy() for name, values in everything.items()}
    for k in range(2):
        mine = np.array([fold_of[track] == k for _, track in clips])
        gone = frozenset(f"{level}:{track}" for level, track in clips if fold_of[track] == k)
        print(f"seed {seed}: without the soft labels of fold {k}", flush=True)
        found = one(manifest.concat([parts.train, without(soft, gone)]))
        for name, values in found.items():
            crossed[name][mine] = values[mine]
    done = {"first round": first, "all soft labels": everything, "cross-fitted": crossed}
    kept = {name: np.stack([d["p"], d["decided"]]) for name, d in done.items()}
    np.savez(file, **kept)  # type: ignore[arg-type]
    return kept


def judge(found: dict[str, np.ndarray], parts: Split, clips: list[tuple[str, str]]) -> list[dict[str, object]]:
    """A row for each round and level.

    The decision was fitted to networks that had seen no soft labels: of those that had, the softmax says the class.
    """
    label = dict(zip(parts.judged.column("track"), parts.judged.column("label"), strict=True))
    truth, unknown = np.array([label[track] for _, track in clips]), parts.unknown
    strong, is_unknown = np.array([level == STRONG for level, _ in clips]), truth == unknown
    out: list[dict[str, object]] = []
    for name, (p, decided) in found.items():
        right = (decided if name == "first round" else p).argmax(axis=1) == truth
        for level, at in ((STRONG, strong), (MILDER, ~strong)):
            auroc = detection_scores(score_counts(decided[at, unknown].astype(np.float64), is_unknown[at]))["auroc"]
            shares = {"known right": right[at & ~is_unknown].mean(), "unknown found": right[at & is_unknown].mean()}
            out.append({"round": name, "level": level, "auroc": float(auroc), **shares})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--decision", required=True, help="folder of a `tune` run with the recipe's backbones")
    parser.add_argument("--recipe", default="robust")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE")
    parser.add_argument("--leave-out", required=True, type=left_out, help="FOLD:GENERATOR,GENERATOR...")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--clips", help="folder of decoded clips (default: OUTPUT/clips)")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    keep_freed_memory()
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    fold, gone = args.leave_out
    rows, table = manifest.read(args.input), []
    for seed in args.seeds:
        recipe = load_recipe(args.recipe, [*args.set, "train.workers=1", f"backbones.0.seed={seed}"])
        recipe = read_choice(args.decision)[1][recipe.backbones[0].name].into(recipe)
        parts = split(training_rows(rows, with_classes(recipe, rows)), gone, fold)
        found = rounds(recipe, parts, output, Path(args.clips or output / "clips"), seed)
        table += [{"seed": seed, **row} for row in judge(found, parts, judged_clips(parts))]
        frame = pd.DataFrame(table)
        frame.to_csv(output / "crossfitting.csv", index=False)
    means = frame.drop(columns="seed").groupby(["level", "round"], sort=False).agg(["mean", "min", "max"])
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
