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

        Writes OUTPUT/<backbone>/ (weights as safetensors, recipe.yaml, metrics.json, curve). With --soft the
        soft-labelled rows join in and the recipe's second (semi-supervised) batch sizes and epoch counts hold. The
        same command again goes on from the last epoch that was finished.
        """,
        "python -m jobs.train --input quickstart/corpus --recipe quickstart --output runs/again \\\n"
        "    --set backbones.0.epochs=[1,1]",
    )
    cli.add_input(p, "manifest with labels")
    cli.add_recipe(p)
    cli.add_output(p)
    p.add_argument(
        "--epochs", metavar="PATH", help="epochs.json of the tune job, or its folder (default: the recipe's)"
    )
    p.add_argument(
        "--soft", action="append", default=[], metavar="PATH", help="soft labels of the pseudo job; repeatable"
    )
    p.add_argument("--backbone", action="append", default=[], metavar="NAME", help="train only this one; repeatable")
    p.add_argument("--clips", metavar="DIR_OR_URI", help="keep decoded audio here (default: OUTPUT/_clips)")
    cli.add_address(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt import manifest
    from synatt.fitting import FitSettings, read_choice, train
    from synatt.inputs import read_inputs
    from synatt.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.set)
    rows = read_inputs(args.input, recipe.classes)
    soft = manifest.concat([manifest.read(path) for path in args.soft]) if args.soft else None
    epochs, temperatures = read_choice(args.epochs)
    settings = FitSettings(tuple(args.backbone), epochs, temperatures, args.clips, args.address)
    return train(rows, recipe, args.output, 1 if soft is not None else 0, soft, settings)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
