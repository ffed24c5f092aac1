"""What each change to a recipe brings against noise, rooms, codecs and algorithms that training never heard.

    python -m tests.benchmarks.ablation --input ROWS --arms tests/benchmarks/ablation.yaml --output DIR \\
        --leave-out 2:espeak_klatt,algorithm_1 --leave-out 0:natural,algorithm_3 [--seeds 1 2 3] [--only ARM]

ROWS is a manifest with generators (`prepare --metadata`), of which only training rows are used. Every arm is trained
once for each seed and each `--leave-out`: without those generators (a known class among them is then one algorithm
more that nobody knows), and without a fold of four of the other known classes: other voices where a class has several.
The fold's number stands before the generators. It is judged on what was left out, clean and at three levels of
perturbation, each clip perturbed the same way for all arms. The seed is the network's: the outliers and the perturbed
takes it is trained on are the recipe's, for all seeds the same. An arm `{ensemble: ARM}` is the mean of that arm's
network of a seed and of the next one. `--set KEY=VALUE` holds for all arms. Finished runs are kept and not repeated;
several processes may share DIR and make different seeds or arms, if the last to run is asked for all. Answers stand in
DIR/runs, the tables in DIR/ablation.csv (macro F1) and DIR/scores.csv (each score and unknown generator), their means
and spreads in DIR/by_arm.csv, DIR/by_generator.csv and, left-out generators together, DIR/by_score.csv.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from synatt import manifest
from synatt.allocator import keep_freed_memory
from synatt.backbones import Attributor
from synatt.clip import crops
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.constants import UNKNOWN
from synatt.feed import Examples
from synatt.fitting import training_rows, with_classes
from synatt.folds import by_speaker
from synatt.manifest import Manifest
from synatt.metrics import detection_scores, score_counts
from synatt.outliers import COPY, outlier_rows
from synatt.perturb import LEVELS
from synatt.recipe import Recipe
from synatt.recipefile import load_recipe
from synatt.takes import store_takes, wanted_takes
from synatt.training import Run, make_plan
from synatt.validation import answers, judged_wave, known_clips
from tests.benchmarks.unlikeness import SCORES, Told, scores

FOLDS = 4


@dataclass(frozen=True)
class Split:
    """What one run is trained on and judged on; labels of a class that is left out are those of unknown speech."""

    train: Manifest
    judged: Manifest

    @property
    def unknown(self) -> int:
        return (self.train.classes or ()).index(UNKNOWN)


def split(rows: Manifest, left_out: list[str], fold: int) -> Split:
    table, classes = rows.table.to_pandas(), rows.classes or ()
    gone = table.generator.isin(left_out).to_numpy()
    names = np.array(classes)[table.label.to_numpy(int)]
    left = tuple(name for name in classes if not gone[names == name].all() or name == UNKNOWN)
    table["label"] = [left.index(name) if name in left else left.index(UNKNOWN) for name in names]
    known = ~gone & (names != UNKNOWN)
    folds = np.full(len(table), -1)
    who = (table[name][known].to_numpy() for name in ("label", "speaker", "track"))
    folds[known] = by_speaker(*who, FOLDS, seed=7, fewest=2)
    relabelled = manifest.build(table, left)
    return Split(relabelled.where(~gone & (folds != fold)), relabelled.where(gone | (folds == fold)))


def make_store(folder: Path, rows: Manifest, recipe: Recipe) -> ClipStore:
    folder.mkdir(parents=True, exist_ok=True)
    copies = rows.column(COPY) if COPY in rows.table.column_names else ()
    takes = wanted_takes(rows, recipe, judged=False)
    names = []
    for shard in plan_shards(rows.column("track"), rows.column("path"), copies=copies):
        name = store_shard(str(folder), shard, recipe.clip.read_s)
        names += [name, *store_takes(str(folder), name, shard, takes)]
    return ClipStore(str(folder), names)


def readable(rows: Manifest, store: ClipStore, recipe: Recipe) -> Examples:
    """The rows that the store holds."""
    usable = rows.where(np.array([track in store for track in rows.column("track")]))
    return Examples(tuple(usable.column("track")), manifest.targets(usable, len(recipe.require_classes())))


def trained(recipe: Recipe, rows: Manifest, store: ClipStore) -> Run:
    backbone = recipe.backbones[0]
    plan = make_plan(recipe, backbone, 0, backbone.epochs[0], 1)
    run = Run(plan, readable(rows, store, recipe), None, store, torch.device("cpu"))
    for row in run.epochs():
        pace = row["clips"] / row["seconds"]
        print(f"    epoch {row['epoch']:.0f} loss {row['loss']:.3f} {pace:.0f} clips/s", flush=True)
    return run


def one_run(file: Path, recipe: Recipe, parts: Split, left_out: list[str], clips: Path) -> None:
    """Train one arm and keep what it says of what was left out."""
    recipe = recipe.model_copy(update={"classes": parts.train.classes})
    made = outlier_rows(parts.train, recipe)
    # A copy by the algorithm that is left out, or by the same one under another name, would give it away.
    given_away = {*left_out, *(f"mel_{name}" for name in left_out)}
    made = made.where(np.array([name not in given_away for name in made.column("generator")], bool))
    train = manifest.concat([parts.train, made])
    store = make_store(clips, train, recipe)
    start, cpu = time.perf_counter(), time.process_time()
    run = trained(recipe, train, store)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    judged_store = make_store(clips, parts.judged, recipe.model_copy(update={"augment": type(recipe.augment)()}))
    tracks = parts.judged.column("track")
    net, count = run.judged.eval(), recipe.predict.crops
    shown = (
        crop
        for level in LEVELS
        for track in tracks
        for crop in crops(judged_wave(judged_store, track, level), recipe.clip_samples, recipe.clip.pad, count)
    )
    with pooled(net) as features:
        vectors, logits = answers(net, shown, recipe, run.precision)
    labels, known = known_clips(run.train_rows, store, recipe)
    with pooled(net) as bank_features:
        bank, bank_logits = answers(net, known, recipe, run.precision)
    np.savez(
        file,
        logits=logits.reshape(-1, count, logits.shape[-1]),
        vectors=vectors.reshape(-1, count, vectors.shape[-1]).mean(axis=1),
        features=torch.cat(features).unflatten(0, (-1, count)).mean(dim=1).half().numpy(),
        levels=np.repeat(LEVELS, len(tracks)),
        truth=np.tile(parts.judged.column("label"), len(LEVELS)),
        generator=np.tile([name or "" for name in parts.judged.column("generator")], len(LEVELS)),
        bank=bank,
        bank_features=torch.cat(bank_features).half().numpy(),
        bank_logits=bank_logits,
        bank_label=labels,
        unknown_class=parts.unknown,
        seconds=seconds,
        cpu_s=cpu_s,
    )


@contextmanager
def pooled(net: Attributor) -> Iterator[list[torch.Tensor]]:
    """Within it, the backbone's features ``[B, F]`` of every batch are kept."""
    kept: list[torch.Tensor] = []
    hook = net.backbone.register_forward_hook(lambda module, given, found: kept.append(found.float()))
    try:
        yield kept
    finally:
        hook.remove()


def told(file: Path) -> dict[str, Any]:
    """What a run said, with `p` its mean probabilities over crops and each score."""
    with np.load(file) as found:
        d: dict[str, Any] = dict(found)
    d["p"] = torch.softmax(torch.from_numpy(d["logits"]), -1).mean(dim=1).numpy()
    clips = Told(d["logits"].mean(axis=1), d["vectors"], d["features"])
    bank = Told(d["bank_logits"], d["bank"], d["bank_features"])
    return d | scores(clips, bank, d["bank_label"], int(d["unknown_class"]))


def judged(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of macro F1 by level, and of each score by level and generator, of a run or an ensemble of some."""
    from sklearn.metrics import f1_score

    first, unknown = runs[0], int(runs[0]["unknown_class"])
    p, truth = np.mean([d["p"] for d in runs], axis=0), runs[0]["truth"]
    known_class = np.delete(np.arange(p.shape[1]), unknown)[np.delete(p, unknown, axis=1).argmax(axis=1)]
    score = {name: np.mean([d[name] for d in runs], axis=0) for name in SCORES}
    known = truth != unknown
    # One limit for all levels, as a decision has it that is not told what a clip went through.
    limit = np.quantile(score["unlikeness"][known], 0.95)
    decided = np.where(score["unlikeness"] > limit, unknown, known_class)
    f1 = []
    for level in LEVELS:
        at = first["levels"] == level
        row = {"level": level}
        for name, answer in (("softmax", p.argmax(axis=1)), ("unlikeness", decided)):
            right = answer == truth
            row |= {
                f"{name} macro_f1": f1_score(truth[at], answer[at], average="macro", zero_division=0),
                f"{name} known": right[at & known].mean(),
                f"{name} unknown": right[at & ~known].mean(),
            }
        f1.append(row)
    return f1, ranked(score, first["levels"], first["generator"], known)


def ranked(
    score: Mapping[str, np.ndarray], level_N: np.ndarray, generator_N: np.ndarray, known_N: np.ndarray
) -> list[dict[str, Any]]:
    """How well each score ``[N]`` tells a generator's clips from the known ones: a row per level, generator, score."""
    rows: list[dict[str, Any]] = []
    for level in LEVELS:
        at = level_N == level
        for generator in sorted(set(generator_N[at & ~known_N])):
            one = at & (known_N | (generator_N == generator))
            for name, values in score.items():
                s = detection_scores(score_counts(values[one], ~known_N[one]))
                about = {"level": level, "generator": generator, "score": name}
                rows.append({**about, "auroc": float(s["auroc"]), "fpr95": float(s["fpr_at_95_tpr"])})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--recipe", default="robust")
    parser.add_argument("--arms", default=str(Path(__file__).with_suffix(".yaml")))
    parser.add_argument("--only", nargs="+", help="arms to run; all by default")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for all arms")
    parser.add_argument(
        "--leave-out", required=True, action="append", type=left_out, help="FOLD:GENERATOR,GENERATOR..."
    )
    parser.add_argument("--output", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--clips", help="folder of decoded clips, which several runs may share (default: OUTPUT/clips)")
    args = parser.parse_args()
    keep_freed_memory()
    output = Path(args.output)
    (output / "runs").mkdir(parents=True, exist_ok=True)
    clips = Path(args.clips or output / "clips")
    arms = yaml.safe_load(Path(args.arms).read_text())
    rows = manifest.read(args.input)
    f1: list[dict[str, Any]] = []
    ranks: list[dict[str, Any]] = []
    for turn, seed in enumerate(args.seeds):
        for name in args.only or list(arms):
            for left in args.leave_out:
                fold, gone = left
                arm, together = arms[name].get("ensemble", name), "ensemble" in arms[name]
                used = [seed, args.seeds[(turn + 1) % len(args.seeds)]] if together else [seed]
                files = [output / "runs" / f"{arm}-{number_of}-{fold}-{'+'.join(gone)}.npz" for number_of in used]
                for number_of, file in zip(used, files, strict=True):
                    if not file.is_file():
                        print(f"{arm}, seed {number_of}, without {', '.join(gone)}", flush=True)
                        settings = {"train.workers": 1, "backbones.0.seed": number_of, **arms[arm]}
                        recipe = load_recipe(args.recipe, [*args.set, *(f"{k}={v}" for k, v in settings.items())])
                        base = training_rows(rows, with_classes(recipe, rows))
                        one_run(file, recipe, split(base, gone, fold), gone, clips)
                about = {"arm": name, "seed": seed, "left_out": "+".join(gone)}
                found = judged([told(file) for file in files])
                f1 += [{**about, **row} for row in found[0]]
                ranks += [{**about, **row} for row in found[1]]
                pd.DataFrame(f1).to_csv(output / "ablation.csv", index=False)
                pd.DataFrame(ranks).to_csv(output / "scores.csv", index=False)
    by_arm = spread(pd.DataFrame(f1), ["arm"], ["softmax macro_f1", "softmax known", "unlikeness macro_f1"])
    by_generator = spread(pd.DataFrame(ranks), ["arm", "generator", "score"], ["auroc", "fpr95"])
    together = pd.DataFrame(ranks).groupby(["arm", "seed", "left_out", "level", "score"], sort=False)["auroc"].mean()
    by_score = spread(together.reset_index(), ["arm", "score"], ["auroc"])
    for name, table in (("by_arm", by_arm), ("by_generator", by_generator), ("by_score", by_score)):
        table.to_csv(output / f"{name}.csv")
        print(table.to_string())


def left_out(text: str) -> tuple[int, list[str]]:
    fold, colon, generators = text.partition(":")
    if fold not in map(str, range(FOLDS)) or not colon or not generators:
        raise argparse.ArgumentTypeError(f"{text!r}: FOLD:GENERATOR,GENERATOR..., with a fold of 0 to {FOLDS - 1}")
    return int(fold), generators.split(",")


def spread(rows: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Mean [lowest, highest] of each column over seeds and what was left out, a column for each level."""
    told = rows.groupby([*by, "level"], sort=False)[columns].agg(
        lambda x: f"{x.mean():.3f} [{x.min():.3f}, {x.max():.3f}]"
    )
    return told.stack(future_stack=True).unstack("level")


if __name__ == "__main__":
    main()
