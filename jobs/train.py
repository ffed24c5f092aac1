"""Train the backbones of a recipe with DDP on Ray Train: one model folder each."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "train",
        """
        Train every backbone of a recipe on the labelled rows of a manifest, on all data for a fixed number of epochs.

        Writes OUTPUT/<backbone>/ (weights as safetensors, recipe.yaml, metrics.json, curve), OUTPUT/tensorboard/
        and OUTPUT/backbones.parquet, a row for each; one that fails does not stop the others. With --soft the
        soft-labelled rows join in and the recipe's second (semi-supervised) batch sizes and epoch counts hold; with
        train.soft_label_folds above 1 each backbone becomes a folder for each fold (<backbone>-fold0, ...). The
        same command again goes on from the last epoch that was finished.
        """,
        "python -m jobs.train --input quickstart/corpus --recipe quickstart --output runs/again \\\n"
        "    --set backbones.0.epochs=[1,1]",
    )
    cli.add_fitting(p, "train")
    p.add_argument(
        "--epochs", metavar="PATH", help="epochs.json of the tune job, or its folder (default: the recipe's)"
    )
    p.add_argument(
        "--at-once",
        type=cli.positive,
        metavar="N",
        help="backbones to train side by side; on a cluster that grows, as many as it may have room for (default: as "
        "many as there is room for now)",
    )
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.fitting import FitSettings, read_choice, read_task, train

    task = read_task(args.input, args.recipe, args.set, args.soft)
    epochs, confidences = read_choice(args.epochs)
    settings = FitSettings(tuple(args.backbone), epochs, confidences, args.clips, args.address, args.at_once)
    return train(task.rows, task.recipe, args.output, task.stage, task.soft, settings)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
