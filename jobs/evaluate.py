"""Score predictions against true labels: metrics, tables, plots and one self-contained page."""

import argparse
import logging
import sys
from collections.abc import Sequence

from synatt import cli

log = logging.getLogger("synatt")


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "evaluate",
        """
        Score predictions against true labels: accuracy, precision, recall and macro F1, per class and per column of the
        labels, confusion matrix, detection of unknown algorithms (AUROC, EER), calibration, thresholds for a wanted
        rate of errors, what level, silence, bandwidth and duration alone would reach, overlap with training; with 95 %
        intervals.
        Writes metrics.json, tables/, plots/ and report.html. Tracks without a label or an answer are only counted.
        With --explain the page also shows and plays clips, with what in them spoke for each answer; where embeddings
        lie beside the predictions (predict --embeddings), a map of them.
        """,
        """
        python -m jobs.evaluate --input out/predictions --labels labels.csv --by perturbation --output out/evaluation
        python -m jobs.evaluate --input out/predictions --labels labels.csv --trained-on quickstart/manifest \\
            --error-rate 0.1 --probe 200 --output out/evaluation
        python -m jobs.evaluate --input out --labels labels.csv --models quickstart/quickstart/semi-supervised \\
            --explain 2 --output out/explained
        """,
    )
    cli.add_input(p, "predictions: a Parquet file or a folder of them")
    p.add_argument(
        "--labels",
        action="append",
        default=[],
        metavar="PATH",
        help="true labels: CSV, JSONL, Parquet or manifest folder with 'track' and 'label' (or 'algorithm'), a class "
        "index or name; other columns can be grouped by; repeatable; without it tracks are only counted",
    )
    p.add_argument(
        "--by",
        action="append",
        metavar="COLUMN",
        help="split the scores by this column; repeatable (default: perturbation, part, split, source, generator, "
        "speaker, voice, level where the labels have 2 to 50 values of them)",
    )
    p.add_argument(
        "--bootstrap", type=_count, default=1000, metavar="N", help="resamples behind the intervals (default: 1000)"
    )
    p.add_argument(
        "--seed", type=_count, default=0, help="of the bootstrap, the halves and the probe's sample (default: 0)"
    )
    p.add_argument(
        "--trained-on",
        action="append",
        default=[],
        metavar="MANIFEST",
        help="what the models were trained on: a manifest, or a table like --labels; of it the rows with soft labels, "
        "and outside split 'eval' those with a label or in split 'train'. Tracks, paths, speakers, sentences (column "
        "text) and unknown generators that evaluation shares with it are reported, and the scores without them; "
        "repeatable",
    )
    p.add_argument(
        "--error-rate",
        type=_rate,
        default=0.05,
        metavar="SHARE",
        help="find the confidence from which at most this share of answers is wrong, and the unknown score from which "
        "at most this share of known algorithms is flagged: chosen on one half of the labelled tracks, measured on "
        "the other (default: 0.05)",
    )
    p.add_argument(
        "--probe",
        type=_count,
        default=1000,
        metavar="N",
        help="read N evaluated recordings (and N of --trained-on), a share of each class, and see how well a linear "
        "classifier tells the classes from level, silence, bandwidth and duration alone; 0: read none (default: 1000, "
        "which six classes need for a macro F1 within about 0.03)",
    )
    cli.add_models(p, required=False)
    p.add_argument(
        "--explain",
        type=_few,
        default=0,
        metavar="N",
        help="show and play N clips of each kind, with a heat map of what spoke for the answer: the surest right ones "
        "of each class, the surest mistakes, the least certain; and one of each of the 5 most frequent mix-ups. Takes "
        "the --models that answered, and the recordings (default: 0; at most 20)",
    )
    p.add_argument(
        "--explain-track", action="append", default=[], metavar="TRACK", help="explain this track too; repeatable"
    )
    p.add_argument(
        "--map-backbone",
        metavar="NAME",
        help="draw the map of this backbone's embeddings (default: the first in the table)",
    )
    p.add_argument(
        "--curves", action="append", default=[], metavar="PATH", help="table with an epoch column to draw; repeatable"
    )
    cli.add_output(p)
    cli.add_address(p)
    return p


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _few(text: str) -> int:
    value = cli.count(text)
    if value > 20:
        raise argparse.ArgumentTypeError(f"{value} clips of each kind are more than the 20 that a page is for")
    return value


def work(args: argparse.Namespace) -> str:
    from synatt.distributed.session import run_there

    summary = run_there(_evaluate, args, address=args.address)
    for line in summary.splitlines():
        log.info("%s", line)
    return str(args.output)


def _evaluate(args: argparse.Namespace) -> str:
    from synatt.evaluation import evaluate, save
    from synatt.looking import Asked, look
    from synatt.report import render
    from synatt.summary import notes, summary

    found = evaluate(
        args.input,
        args.labels,
        by=args.by,
        bootstrap=args.bootstrap,
        seed=args.seed,
        trained_on=args.trained_on,
        probe=args.probe,
        error_rate=args.error_rate,
    )
    looks = look(found, args.input, Asked(args.models, args.explain, args.explain_track, args.map_backbone))
    # The page first: it is what can still refuse its input, and then nothing should be written.
    render(found, args.output, [*args.models, *args.curves], looks)
    save(found, args.output, looks.tables)
    return "\n".join([summary(found), *notes(found), *looks.not_shown])


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
