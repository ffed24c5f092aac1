"""Trained models and a few clips of a new algorithm -> models that know it too, without training."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli

PURPOSE = """
Add classes to trained models from a few clips each, without training the backbones again.

Each model gets new rows in its last layer, fitted on the embeddings of the new clips and of some clips it was trained
on, all of them also perturbed. Rows of the old classes stay as they are. Where there are enough clips,
OUTPUT/enrolment.parquet says how many other clips of the new class are found after 5, 10, 20 and 50, and what the old
classes lose.

Writes a model folder per model below OUTPUT, which predict takes like any other.
"""

EXAMPLE = """
python -m jobs.enrol --models quickstart/quickstart/semi-supervised --input quickstart/manifest \\
    --known-new newvoice=clips --output runs/enrolled
"""


def _parser() -> argparse.ArgumentParser:
    p = cli.parser("enrol", PURPOSE, EXAMPLE)
    cli.add_models(p)
    cli.add_input(p, "manifest of what the models were trained on: it shows where the old classes end")
    p.add_argument(
        "--known-new",
        action="append",
        required=True,
        type=_named,
        metavar="NAME=FOLDER",
        help="name of a new class and the folder of its clips; repeatable",
    )
    p.add_argument("--seed", type=cli.count, default=0, metavar="N", help="of what is drawn (default: 0)")
    cli.add_output(p)
    cli.add_address(p)
    return p


def _named(text: str) -> tuple[str, str]:
    name, sep, place = text.partition("=")
    if not sep or not name or not place:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=FOLDER, for example newvoice=my/clips")
    return name, place


def work(args: argparse.Namespace) -> str:
    from synatt import storage
    from synatt.distributed.session import run_there
    from synatt.enrolling import enrol
    from synatt.errors import UsageError
    from synatt.inputs import read_inputs

    names = [name for name, _ in args.known_new]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"--known-new {min(twice)}: the name stands twice")
    storage.check_writable(args.output)
    rows = read_inputs(args.input)
    return str(run_there(enrol, args.models, dict(args.known_new), rows, args.output, args.seed, address=args.address))


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
