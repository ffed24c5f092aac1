"""Score recordings with an ensemble: one Parquet row per recording."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli


def parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "predict",
        """
        Say for every recording which known algorithm made it, or that none of them did.

        Writes OUTPUT/predictions (Parquet, one row per input row; a file that cannot be used has status 'error' and
        says why). The same command again does only what is missing.
        """,
        "python -m jobs.predict --input quickstart/corpus/speech \\\n"
        "    --models quickstart/quickstart/semi-supervised --output runs/mine",
    )
    cli.add_input(p, "manifest (.parquet, .csv, .jsonl), folder or bucket prefix of audio, or one recording")
    cli.add_models(p)
    cli.add_output(p)
    p.add_argument("--members", action="store_true", help="also write OUTPUT/members: probabilities of each backbone")
    p.add_argument("--answer", action="store_true", help="also write the SP Cup's answer.txt and answer.zip")
    p.add_argument("--fresh", action="store_true", help="start anew, dropping what an earlier run left in OUTPUT")
    cli.add_address(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt.batch import PredictSettings, predict
    from synatt.errors import UsageError
    from synatt.inputs import read_inputs
    from synatt.predictions import read

    inputs = read_inputs(args.input)
    settings = PredictSettings(args.members, args.answer, args.fresh, args.address)
    where = predict(inputs, args.models, args.output, settings)
    if len(inputs) and "ok" not in read(args.output).column("status").to_pylist():
        raise UsageError(f"none of the {len(inputs)} recordings could be read; {where} says why for each")
    return where


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
