"""The whole method in small, on speech that real synthesizers render here."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "quickstart",
        """
        Render speech with real synthesizers (no download), then run the whole pipeline on it with the `quickstart`
        recipe: cross-validation, supervised training, soft labels, semi-supervised training, prediction, report.

        Needs the packages of the extra `quickstart`; synthesizers of the system (flite, festival, codec2) join where
        they are installed. Takes some minutes on 2 CPU cores; the same command again does only what is missing.
        """,
        "pip install uv && uv run --extra quickstart python -m jobs.quickstart",
    )
    cli.add_output(p, "quickstart")
    cli.add_recipe(p, "quickstart")
    p.add_argument("--seed", type=int, default=42, help="of the corpus and of training (default: 42)")
    p.add_argument("--scale", type=float, default=1.0, help="factor on the number of clips (default: 1.0)")
    p.add_argument("--fresh", action="store_true", help="delete OUTPUT first")
    cli.add_cluster(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt import storage
    from synatt.pipeline import PipelineSettings, pipeline
    from synatt.quickstart.render import render_corpus
    from synatt.recipefile import load_recipe

    recipe = load_recipe(args.recipe, [f"seed={args.seed}", *args.set])
    if args.fresh:
        storage.delete_dir(args.output)
    corpus = storage.join(args.output, "corpus")
    rendered = render_corpus(corpus, args.seed, scale=args.scale)
    settings = PipelineSettings((corpus,), labels=(rendered.labels_path,), address=args.address)
    report = pipeline([recipe], args.output, settings)
    print(f"\nmacro F1 of {recipe.name} on tracks that training never saw:")
    print(storage.read_text(storage.join(args.output, "report", "summary.txt")))
    return report


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
