"""Give soft labels to unlabelled tracks."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "pseudo",
        """
        Score unlabelled tracks with trained models and keep the class probabilities as soft labels, for the
        semi-supervised stage: `train --soft OUTPUT`.

        Writes OUTPUT/manifest.parquet (column p) and OUTPUT/predictions.
        """,
        "python -m jobs.pseudo --input quickstart/corpus --split eval \\\n"
        "    --models quickstart/quickstart/supervised --output runs/soft",
    )
    cli.add_input(p, "manifest, or folder of audio")
    cli.add_models(p)
    cli.add_output(p)
    p.add_argument("--split", help="only rows of this split, e.g. eval")
    p.add_argument(
        "--part", type=int, action="append", default=[], help="only rows of this evaluation part; repeatable"
    )
    p.add_argument(
        "--least-confidence",
        type=cli.probability,
        default=0.0,
        metavar="P",
        help="leave tracks out whose largest probability is lower (0: none, as in Syn-Att)",
    )
    p.add_argument("--fresh", action="store_true", help="start anew, dropping what an earlier run left in OUTPUT")
    cli.add_cluster(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.batch import PredictSettings
    from synatt.fitting import only_split
    from synatt.inputs import read_inputs
    from synatt.pseudo import pseudo

    rows = only_split(read_inputs(args.input), args.split, args.part)
    settings = PredictSettings(fresh=args.fresh, address=args.address)
    return pseudo(rows, args.models, args.output, settings, args.least_confidence)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
