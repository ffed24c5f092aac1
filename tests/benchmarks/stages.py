"""What the semi-supervised stage brings: the pipeline of a recipe with several seeds, macro F1 before and after.

    python -m tests.benchmarks.stages --input DATA --layout spcup --labels TRUTH --output DIR --seeds 1 2 3 \\
        [--recipe quickstart] [--set augment.perturb_p=0.5] [--by part perturbation]
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from jobs import pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--layout", default="auto")
    parser.add_argument("--labels", required=True, action="append")
    parser.add_argument("--output", required=True)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--by", nargs="+", default=["part", "perturbation"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        out = Path(args.output) / f"seed{seed}"
        argv = ["--input", args.input, "--layout", args.layout, "--recipe", args.recipe, "--output", str(out)]
        argv += [word for path in args.labels for word in ("--labels", path)]
        argv += [word for value in [*args.set, f"seed={seed}"] for word in ("--set", value)]
        argv += [word for column in args.by for word in ("--by", column)]
        assert pipeline.main(argv) == 0
        for stage, folder in (("supervised", out / "report" / "supervised"), ("semi-supervised", out / "report")):
            found = json.loads((folder / "metrics.json").read_text())
            groups = {"all": [{**found["overall"], "value": ""}], **found["groups"]}
            for column, group in groups.items():
                for row in group:
                    where = f"{column} {row['value']}".strip()
                    rows.append({"seed": seed, "stage": stage, "rows": where, "macro_f1": row["macro_f1"]})
        print(pd.DataFrame(rows).pivot_table(index="rows", columns=["stage", "seed"], values="macro_f1").round(3))
    table = pd.DataFrame(rows).groupby(["rows", "stage"]).macro_f1.agg(["mean", "std", "min", "max"]).round(3)
    print(table.to_string())
    table.to_csv(Path(args.output) / "stages.csv")


if __name__ == "__main__":
    main()
