"""Choose epoch counts by cross-validation on Ray Tune."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "tune",
        """
        Choose how many epochs each backbone of a recipe is trained for: every (backbone, fold) is a trial, and the
        count is taken where the mean of the folds' macro F1 peaks.

        Writes OUTPUT/epochs.json (read by the train job), OUTPUT/curves.parquet and a plot per backbone. The same
        command again goes on with the trials that are not finished.
        """,
        "python -m jobs.tune --input quickstart/corpus --recipe quickstart --output runs/folds \\\n"
        "    --set tune.max_epochs=2 --set tune.folds=2",
    )
    cli.add_input(p, "manifest with labels")
    cli.add_recipe(p)
    cli.add_output(p)
    p.add_argument(
        "--soft",
        action="append",
        default=[],
        metavar="PATH",
        help="tune the semi-supervised stage with these soft labels",
    )
    p.add_argument("--backbone", action="append", default=[], metavar="NAME", help="tune only this one; repeatable")
    p.add_argument("--clips", metavar="DIR_OR_URI", help="keep decoded audio here (default: OUTPUT/_clips)")
    cli.add_address(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt import manifest
    from synatt.fitting import FitSettings
    from synatt.inputs import read_inputs
    from synatt.recipe import load_recipe
    from synatt.tuning import tune

    recipe = load_recipe(args.recipe, args.set)
    rows = read_inputs(args.input, recipe.classes)
    soft = manifest.concat([manifest.read(path) for path in args.soft]) if args.soft else None
    settings = FitSettings(tuple(args.backbone), clips=args.clips, address=args.address)
    return tune(rows, recipe, args.output, 1 if soft is not None else 0, soft, settings)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
