"""What each change to a recipe brings against noise, rooms, codecs and unknown generators that training never saw.

    python -m tests.benchmarks.ablation --input ROWS --arms tests/benchmarks/ablation.yaml --output DIR \\
        --leave-out espeak_klatt,griffin_lim_copy --leave-out world_copy [--seeds 1 2 3] [--only ARM]

ROWS is a manifest with generators (`prepare --metadata`), of which only training rows are used. Every arm is trained
once for each seed and each `--leave-out`: without those generators of unknown speech, and without every fourth clip of
the known classes. It is judged on what was left out, clean and at three levels of perturbation, each clip perturbed the
same way for all arms. Finished runs are kept and not repeated. Answers stand in DIR/runs, the table in
DIR/ablation.csv.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from synatt import manifest
from synatt.allocator import keep_freed_memory
from synatt.clip import crops
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.constants import UNKNOWN
from synatt.feed import Examples
from synatt.fitting import training_rows, with_classes
from synatt.folds import stratified
from synatt.logmel import logmel_batch
from synatt.metrics import detection_scores, score_counts
from synatt.outliers import COPY, outlier_rows
from synatt.perturb import LEVELS
from synatt.recipe import Recipe, load_recipe
from synatt.training import Run, make_plan
from synatt.validation import judged_wave
from tests.benchmarks.unlikeness import SCORES, scores

FOLDS, CROPS = 4, 3


def make_store(folder: Path, rows: pd.DataFrame) -> ClipStore:
    folder.mkdir(parents=True, exist_ok=True)
    copies = list(rows[COPY].astype(object).where(rows[COPY].notna(), None)) if COPY in rows else ()
    shards = plan_shards(list(rows.track), list(rows.path), copies=copies)
    return ClipStore(str(folder), [store_shard(str(folder), shard, 60.0) for shard in shards])


def split(rows: pd.DataFrame, left_out: list[str], unknown: int, fold: int) -> np.ndarray:
    """Boolean ``[rows]``: what is judged."""
    known = (rows.label != unknown).to_numpy()
    folds = np.full(len(rows), -1)
    folds[known] = stratified(rows.label[known].to_numpy(), rows.track[known].to_numpy(), FOLDS, seed=7)
    return np.where(known, folds == fold, rows.generator.isin(left_out))


@torch.inference_mode()
def answers(run: Run, waves: list[np.ndarray], recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(logits ``[N, K, C]``, embeddings ``[N, E]``) of some recordings."""
    net, logits, vectors = run.judged.eval(), [], []
    for start in range(0, len(waves), 16):
        clips = [crops(w, recipe.clip_samples, recipe.clip.pad, count) for w in waves[start : start + 16]]
        x = logmel_batch(torch.from_numpy(np.concatenate(clips)), recipe.logmel)
        v = net.embedding(x)
        logits.append(net.classify(v).numpy().reshape(len(clips), count, -1))
        vectors.append(v.numpy().reshape(len(clips), count, -1).mean(axis=1))
    return np.concatenate(logits), np.concatenate(vectors)


def trained(recipe: Recipe, rows: pd.DataFrame, store: ClipStore) -> Run:
    target = np.eye(len(recipe.require_classes()), dtype=np.float32)[rows.label.astype(int)]
    backbone = recipe.backbones[0]
    plan = make_plan(recipe, backbone, 0, backbone.epochs[0], 1)
    run = Run(plan, Examples(tuple(rows.track), target), None, store, torch.device("cpu"))
    for row in run.epochs():
        pace = row["clips"] / row["seconds"]
        print(f"    epoch {row['epoch']:.0f} loss {row['loss']:.3f} {pace:.0f} clips/s", flush=True)
    return run


def one_run(file: Path, recipe: Recipe, base: manifest.Manifest, left_out: list[str], fold: int, clips: Path) -> None:
    rows = base.table.to_pandas()
    held = split(rows, left_out, recipe.require_classes().index(UNKNOWN), fold)
    made = outlier_rows(base.where(~held), recipe).table.to_pandas()
    # A copy by the algorithm that is left out would give it away.
    made = made[~made.generator.isin(left_out)]
    judged, bank = rows[held], rows[~held]
    train = pd.concat([bank, made], ignore_index=True)
    store = make_store(clips, pd.concat([rows, made], ignore_index=True))
    start, cpu = time.perf_counter(), time.process_time()
    run = trained(recipe, train[[track in store for track in train.track]], store)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu

    def at(level: str, some: pd.DataFrame, count: int) -> tuple[np.ndarray, np.ndarray]:
        return answers(run, [judged_wave(store, track, level) for track in some.track], recipe, count)

    told, own = ([at(level, some, count) for level in LEVELS] for some, count in ((judged, CROPS), (bank, 1)))
    np.savez(
        file,
        logits=np.concatenate([logits for logits, _ in told]),
        vectors=np.concatenate([vectors for _, vectors in told]),
        levels=np.repeat(LEVELS, len(judged)),
        truth=np.tile(judged.label.to_numpy(int), len(LEVELS)),
        generator=np.tile(judged.generator.fillna("").to_numpy(str), len(LEVELS)),
        bank=np.concatenate([vectors for _, vectors in own]),
        bank_label=np.tile(bank.label.to_numpy(int), len(LEVELS)),
        seconds=seconds,
        cpu_s=cpu_s,
    )


def judged(file: Path, unknown: int) -> list[dict[str, object]]:
    """Scores of one run: macro F1 by level, and how well each score tells each generator from the known classes."""
    from sklearn.metrics import f1_score

    with np.load(file) as found:
        d = dict(found)
    out: list[dict[str, object]] = []
    told = scores(d["logits"], d["vectors"], d["bank"], d["bank_label"], unknown)
    answer = torch.softmax(torch.from_numpy(d["logits"]), -1).mean(1).numpy().argmax(1)
    for level in LEVELS:
        at = d["levels"] == level
        known, right = at & (d["truth"] != unknown), answer == d["truth"]
        f1 = f1_score(d["truth"][at], answer[at], average="macro", zero_division=0)
        row = {"level": level, "macro_f1": f1, "known": right[known].mean(), "unknown": right[at & ~known].mean()}
        for name in SCORES:
            for generator in sorted(set(d["generator"][at & ~known])):
                one = at & (known | ((d["generator"] == generator) & (d["truth"] == unknown)))
                s = detection_scores(score_counts(told[name][one], d["truth"][one] == unknown))
                row |= {
                    f"{name} {generator} auroc": float(s["auroc"]),
                    f"{name} {generator} fpr95": float(s["fpr_at_95_tpr"]),
                }
        out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--arms", default=str(Path(__file__).with_suffix(".yaml")))
    parser.add_argument("--only", nargs="+", help="arms to run; all by default")
    parser.add_argument("--leave-out", required=True, action="append", help="generators, separated by commas")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    keep_freed_memory()
    output = Path(args.output)
    (output / "runs").mkdir(parents=True, exist_ok=True)
    arms = yaml.safe_load(Path(args.arms).read_text())
    rows = manifest.read(args.input)
    table = []
    for name in args.only or list(arms):
        for seed in args.seeds:
            settings = {**(arms[name] or {}), "seed": seed, "train.workers": 1}
            recipe = with_classes(load_recipe(args.recipe, [f"{k}={v}" for k, v in settings.items()]), rows)
            unknown = recipe.require_classes().index(UNKNOWN)
            base = training_rows(rows, recipe)
            for fold, names in enumerate(args.leave_out):
                file = output / "runs" / f"{name}-{seed}-{fold}.npz"
                if not file.is_file():
                    print(f"{name}, seed {seed}, without {names}", flush=True)
                    one_run(file, recipe, base, names.split(","), fold, output / "clips")
                table += [{"arm": name, "seed": seed, "left_out": names, **row} for row in judged(file, unknown)]
                pd.DataFrame(table).to_csv(output / "ablation.csv", index=False)
    frame = pd.DataFrame(table)
    columns = ["macro_f1", "known", "unknown"]
    print(frame.groupby(["arm", "level"], sort=False)[columns].agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
