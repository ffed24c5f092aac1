"""`tune` as it stops trials early against full cross-validation: the epoch counts chosen, and the epochs trained.

    python -m tests.benchmarks.tuning --input MANIFEST --recipe quickstart --output DIR [--folds 5] [--max-epochs 20]

Both runs share the folds and, epoch by epoch, the weights: what differs is who was stopped.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from jobs import tune


def run(args: argparse.Namespace, name: str, settings: dict[str, int]) -> tuple[dict[str, int], int]:
    """(epoch count by backbone, epochs trained over all folds)."""
    output = Path(args.output) / name
    keys = {"folds": args.folds, "use_folds": args.folds, "max_epochs": args.max_epochs, **settings}
    given = [word for key, value in keys.items() for word in ("--set", f"tune.{key}={value}")]
    argv = ["--input", args.input, "--recipe", args.recipe, "--output", str(output), *given, *args.more]
    assert tune.main([*argv, "--clips", str(Path(args.output) / "clips")]) == 0
    chosen = json.loads((output / "epochs.json").read_text())["backbones"]
    return {k: v["epochs"] for k, v in chosen.items()}, len(pd.read_parquet(output / "curves.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--output", required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--max-epochs", type=int, default=20)
    parser.add_argument("--more", nargs="*", default=[], help="further options of the job")
    args = parser.parse_args()
    early, used = run(args, "early", {})
    full, all_of_them = run(args, "full", {"grace_epochs": args.max_epochs, "patience": args.max_epochs})
    print(f"full cross-validation chose {full} with {all_of_them} epochs trained")
    print(f"stopping early chose {early} with {used}, {used / all_of_them:.0%} of that")


if __name__ == "__main__":
    main()
