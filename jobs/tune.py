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
    cli.add_fitting(p, "tune")
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.fitting import FitSettings, read_task
    from synatt.tuning import tune

    task = read_task(args.input, args.recipe, args.set, args.soft)
    settings = FitSettings(tuple(args.backbone), clips=args.clips, address=args.address)
    return tune(task.rows, task.recipe, args.output, task.stage, task.soft, settings)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
