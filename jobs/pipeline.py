"""The whole method: prepare, tune, train, soft labels, train again, predict, evaluate."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "pipeline",
        """
        Run all stages of Syn-Att in the original's order for every recipe given, and say at the start which are done
        and which will run. The same command again does only what is missing, after any stop.

        Training uses the labelled rows outside split 'eval'; the rows of split 'eval' get soft labels and predictions.
        Writes OUTPUT/<recipe>/semi-supervised (model folders), OUTPUT/predictions/<recipe> and, with --labels,
        OUTPUT/report/report.html.
        """,
        "python -m jobs.pipeline --input quickstart/corpus --labels quickstart/corpus/labels.parquet \\\n"
        "    --recipe quickstart --output quickstart",
    )
    cli.add_input(p, "manifest with training and evaluation rows, or data folders as for the prepare job")
    cli.add_recipe(p, repeatable=True)
    cli.add_output(p)
    p.add_argument(
        "--layout", action="append", metavar="NAME", help="layout of data folders, as in prepare (default: auto)"
    )
    p.add_argument(
        "--classes", type=lambda text: tuple(text.split(",")), metavar="A,B,...", help="class names, as in prepare"
    )
    p.add_argument(
        "--labels", action="append", default=[], metavar="PATH", help="true labels, for the report; repeatable"
    )
    p.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="group the report by this column; repeatable"
    )
    p.add_argument("--fresh", action="store_true", help="delete OUTPUT first")
    cli.add_cluster(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.datasets import LAYOUTS, Options
    from synatt.errors import UsageError
    from synatt.pipeline import PipelineSettings, pipeline
    from synatt.recipefile import load_recipe, recipe_names

    layouts = tuple(args.layout or ["auto"])
    if unknown := [name for name in layouts if name not in ("auto", *LAYOUTS)]:
        raise UsageError(f"--layout {unknown[0]}: allowed are auto, {', '.join(LAYOUTS)}")
    recipes = [load_recipe(name, args.set) for given in args.recipe for name in recipe_names(given)]
    settings = PipelineSettings(
        inputs=tuple(args.input),
        layouts=layouts,
        options=Options(classes=args.classes),
        labels=tuple(args.labels),
        by=tuple(args.by),
        address=args.address,
    )
    return pipeline(recipes, args.output, settings, args.fresh)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
