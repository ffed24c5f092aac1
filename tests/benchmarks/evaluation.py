"""Recipes on evaluation sets, several seeds: macro F1 by part and perturbation, and each unknown generator.

    python -m tests.benchmarks.evaluation --input MANIFEST --labels TRUTH --recipe quickstart --recipe robust \\
        --output DIR [--seeds 1 2 3] [--set robust:tune.folds=3] [--by part perturbation] [--second-round]

For each recipe `tune` is run once (with the first seed) where it says `tune.run`, then `train`, `predict` (the rows of
split 'eval') and `evaluate` for each seed: the supervised stage. With `--second-round` every other evaluation row then
gets the models' soft labels, as the method gives them to all of them, and new models are trained on those too: rows
that had them and rows that had not are scored apart. Where the recipe cross-fits soft labels (`train.soft_label_folds`)
all rows get them, and are scored together. Nothing is chosen by these figures. What is finished is not done again.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from jobs import evaluate, predict, pseudo, train, tune
from synatt import manifest
from synatt.constants import UNKNOWN
from synatt.crossfit import soft_folds
from synatt.fitting import only_split
from synatt.metrics import detection_scores, score_counts
from synatt.recipefile import load_recipe


def timed(seconds: dict[str, float], name: str, job: object, argv: list[str]) -> None:
    start = time.perf_counter()
    assert job.main(argv) == 0, f"{name} failed"  # type: ignore[attr-defined]
    # The second round predicts and evaluates too.
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def unknown_by(predictions: Path, labels: Path, by: str) -> list[dict[str, object]]:
    """Each unknown generator against the known clips of the same group: AUROC, FPR at 95 % TPR, recall."""
    told = pd.read_parquet(predictions / "predictions").query("status == 'ok'")
    names = [c.removeprefix("p_") for c in told.columns if c.startswith("p_")]
    rows = told.drop(columns="algorithm").merge(pd.read_csv(labels), on="track")
    rows["unknown"] = rows["algorithm"] == names.index(UNKNOWN)
    out: list[dict[str, object]] = []
    for group, part in rows.groupby(by):
        for generator, mine in part[part["unknown"]].groupby("generator"):
            both = pd.concat([part[~part["unknown"]], mine])
            found = detection_scores(score_counts(both["unknown_score"].to_numpy(), both["unknown"].to_numpy()))
            about = {"rows": f"{by} {group}, unknown {generator}", "n": len(mine)}
            scores = {name: float(value) for name, value in found.items()}
            out.append({**about, **scores, "recall": float((mine["algorithm_name"] == UNKNOWN).mean())})
    return out


def run(args: argparse.Namespace, recipe: str, seed: int) -> list[dict[str, object]]:
    out = Path(args.output) / recipe
    extra = [value.partition(":")[2] for value in args.set if value.partition(":")[0] == recipe]
    asked = load_recipe(recipe, extra)
    members, crossed = asked.backbones, asked.train.soft_label_folds > 1

    def seeded(seed: int) -> list[str]:
        # No two runs share a network.
        own = [f"backbones.{i}.seed={1000 * seed + b.seed}" for i, b in enumerate(members) if b.seed is not None]
        return [word for value in (f"seed={seed}", *own) for word in ("--set", value)]

    given = ["--recipe", recipe, "--clips", str(Path(args.output) / "clips")]
    given += [word for value in extra for word in ("--set", value)]
    seconds: dict[str, float] = {}
    rows = ["--input", args.input]
    epochs = []
    if asked.tune.run:
        timed(seconds, "tune", tune, [*rows, *given, *seeded(args.seeds[0]), "--output", str(out / "folds")])
        epochs = ["--epochs", str(out / "folds")]
    here = out / f"seed{seed}"
    timed(seconds, "train", train, [*rows, *given, *seeded(seed), *epochs, "--output", str(here / "models")])
    judged = Path(args.output) / "evaluation_rows.parquet"
    rows_of_eval = only_split(manifest.read(args.input), "eval")
    manifest.write(str(judged), rows_of_eval)
    labels = pd.concat([pd.read_csv(path) for path in args.labels])
    tracks = rows_of_eval.column("track")
    soft = set(tracks) if crossed else {t for t, fold in zip(tracks, soft_folds(tracks, 2), strict=True) if fold == 0}
    by = args.by
    if args.second_round and not crossed:
        part = labels[by[0]] + ", " + np.where(labels["track"].isin(soft), "soft-labelled", "not soft-labelled")
        labels, by = labels.assign(round=part), [*by, "round"]
    here.mkdir(parents=True, exist_ok=True)
    labels.to_csv(here / "labels.csv", index=False)
    table = judge(judged, here, seconds, here / "labels.csv", by)
    if args.second_round:
        listed, again = out / "soft_rows.parquet", here / "second"
        manifest.write(str(listed), rows_of_eval.where(np.isin(tracks, list(soft))))
        scored = ["--input", str(listed), "--models", str(here / "models"), "--output", str(here / "soft")]
        timed(seconds, "pseudo", pseudo, scored)
        if asked.tune.judges_unseen:
            first = args.seeds[0]
            taught = ["--soft", str(out / f"seed{first}" / "soft"), "--output", str(out / "folds-second")]
            taught += ["--first-round", str(out / "folds")] if crossed else []
            timed(seconds, "tune again", tune, [*rows, *given, *seeded(first), *taught])
            epochs = ["--epochs", str(out / "folds-second")]
        more = [*epochs, "--soft", str(here / "soft"), "--output", str(again / "models")]
        timed(seconds, "train again", train, [*rows, *given, *seeded(seed), *more])
        found = judge(judged, again, seconds, here / "labels.csv", by)
        table += [{**row, "rows": f"second round: {row['rows']}"} for row in found]
    about = {"recipe": recipe, "seed": seed}
    table += [{"rows": f"seconds {name}", "seconds": value} for name, value in seconds.items()]
    return [{**about, **row} for row in table]


def judge(rows: Path, here: Path, seconds: dict[str, float], labels: Path, by: list[str]) -> list[dict[str, object]]:
    """Predict and evaluate with the models in `here`; a row for all, for each group and for each unknown generator."""
    predictions, report = here / "predictions", here / "report"
    scored = ["--input", str(rows), "--models", str(here / "models"), "--output", str(predictions)]
    timed(seconds, "predict", predict, scored)
    named = ["--labels", str(labels), *(word for column in by for word in ("--by", column))]
    timed(seconds, "evaluate", evaluate, ["--input", str(predictions), *named, "--output", str(report)])
    found = json.loads((report / "metrics.json").read_text())
    calibration = found["calibration"]
    table: list[dict[str, object]] = [{"rows": "all", "ece": calibration["ece"], **found["overall"]}]
    for column, groups in found["groups"].items():
        ece = {row["value"]: row["ece"] for row in calibration["groups"][column]}
        table += [{"rows": f"{column} {row['value']}", "ece": ece.get(row["value"]), **row} for row in groups]
    for column in (c for c in by if c in (by[0], "round")):
        table += unknown_by(predictions, labels, column)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--labels", required=True, action="append")
    parser.add_argument("--recipe", required=True, action="append")
    parser.add_argument("--set", action="append", default=[], help="RECIPE:key=value")
    parser.add_argument("--by", nargs="+", default=["part", "perturbation"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--second-round", action="store_true", help="also train with soft labels of half of the rows")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    table: list[dict[str, object]] = []
    for recipe in args.recipe:
        for seed in args.seeds:
            table += run(args, recipe, seed)
            frame = pd.DataFrame(table)
            frame.to_csv(Path(args.output) / "evaluation.csv", index=False)
    columns = [c for c in ("macro_f1", "accuracy", "ece", "auroc", "fpr_at_95_tpr", "recall", "seconds") if c in frame]
    print(frame.groupby(["rows", "recipe"], sort=False)[columns].agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()
