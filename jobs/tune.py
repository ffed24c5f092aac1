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

        Writes OUTPUT/epochs.json (read by the train job), OUTPUT/curves.parquet and plots per backbone, and, where
        folds leave generators or algorithms out (tune.unseen_generators, tune.unseen_algorithms), how well each of
        them is told from known speech: OUTPUT/unseen.parquet, and what each held-out row was answered:
        OUTPUT/held_out.parquet. The same command again goes on with the trials that are not finished.

        With --soft it is for the semi-supervised stage. --first-round has the first stage's output, and rehearses the
        second with it: held-out rows take part with the soft labels that the first stage's networks gave them, each
        judged by a network that was not taught its own (train.soft_label_folds trainings a fold).

        With --search it also looks for better values of recipe keys: each of --samples samples is trained on all
        folds, those that fall behind are stopped early. OUTPUT/search.parquet has every sample, OUTPUT/best.yaml the
        recipe of the best one: train with --recipe OUTPUT/best.yaml --epochs OUTPUT.
        """,
        "python -m jobs.tune --input quickstart/corpus --recipe quickstart --output runs/folds \\\n"
        "    --set tune.max_epochs=2 --set tune.folds=2",
    )
    cli.add_fitting(p, "tune")
    p.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="KEY=DRAW",
        help="search a recipe key, e.g. 'train.lr_max=loguniform(1e-6, 1e-4)'; also uniform(LOW, HIGH), "
        "randint(LOW, HIGH), choice(A, B, ...); repeatable",
    )
    p.add_argument(
        "--first-round",
        metavar="FOLDS",
        help="with --soft: output of this job for the first stage, on the same folds, to rehearse the second with",
    )
    p.add_argument("--samples", type=cli.positive, default=20, metavar="N", help="samples of a search (default: 20)")
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.fitting import FitSettings, read_task
    from synatt.searching import parse_draw
    from synatt.tuning import tune

    task = read_task(args.input, args.recipe, args.set, args.soft)
    settings = FitSettings(tuple(args.backbone), clips=args.clips, address=args.address)
    draws = [parse_draw(text, task.recipe) for text in args.search]
    samples = args.samples if draws else 0
    return tune(task.rows, task.recipe, args.output, task.stage, task.soft, settings, draws, samples, args.first_round)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
