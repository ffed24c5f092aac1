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
        says why) and OUTPUT/_manifest.json, which lists the files with their rows and digests and is there once all
        is whole. The same command again does only what is missing.
        """,
        """
        python -m jobs.predict --input quickstart/corpus/speech \\
            --models quickstart/quickstart/semi-supervised --output runs/mine
        """,
    )
    cli.add_input(
        p,
        "manifest (.parquet, .csv, .jsonl), folder or bucket prefix of audio, list of paths or URIs (.txt), Parquet "
        "table with the audio in a column 'bytes' or 'audio', WebDataset shard (.tar), or one recording",
    )
    cli.add_models(p)
    cli.add_output(p)
    p.add_argument("--members", action="store_true", help="also write OUTPUT/members: probabilities of each backbone")
    p.add_argument(
        "--embeddings",
        action="store_true",
        help="also write OUTPUT/embeddings: the penultimate vector of each backbone",
    )
    p.add_argument(
        "--windows",
        nargs="?",
        const=0.5,
        type=_share,
        metavar="HOP",
        help="score long recordings as a whole: the mean over windows as long as the models' clip, every HOP of a "
        "window (default without a number: 0.5)",
    )
    p.add_argument(
        "--window-rows", action="store_true", help="with --windows: also write OUTPUT/windows, a row a window"
    )
    p.add_argument(
        "--engine",
        choices=["torch", "openvino"],
        default="torch",
        help="what runs the networks: torch, or OpenVINO (extra 'openvino'), which compiles them for the CPU, with the "
        "same answers to 1e-3 (default: torch)",
    )
    p.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="arithmetic of the networks; bfloat16 on CPUs and GPUs that have it, float16 on GPUs (default: float32)",
    )
    p.add_argument("--partition-by", choices=["source"], help="one folder per source of the manifest (none: __none__)")
    p.add_argument("--answer", action="store_true", help="also write the SP Cup's answer.txt and answer.zip")
    p.add_argument("--fresh", action="store_true", help="start anew, dropping what an earlier run left in OUTPUT")
    p.add_argument(
        "--stall-minutes",
        type=_minutes,
        default=30.0,
        metavar="N",
        help="give up, naming the stage, when nothing was finished for N minutes; 0: never (default: 30)",
    )
    cli.add_cluster(p)
    return p


def _share(text: str) -> float:
    value = float(text)
    if not 0.05 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a share of the window between 0.05 and 1")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def work(args: argparse.Namespace) -> str:
    from synatt.batch import PredictSettings, predict
    from synatt.errors import UsageError
    from synatt.inference import Inference
    from synatt.sources import read_rows
    from synatt.staging import Windows

    if args.window_rows and args.windows is None:
        raise UsageError("--window-rows needs --windows")
    settings = PredictSettings(
        members=args.members,
        embeddings=args.embeddings,
        windows=None if args.windows is None else Windows(args.windows),
        window_rows=args.window_rows,
        by_source=args.partition_by == "source",
        answer=args.answer,
        fresh=args.fresh,
        address=args.address,
        stall_s=60 * args.stall_minutes or None,
        inference=Inference(args.engine, args.precision),
    )
    found = predict(lambda: read_rows(args.input), args.models, args.output, settings)
    if found.summary.rows and found.summary.failed == found.summary.rows:
        raise UsageError(f"none of the {found.summary.rows} recordings could be read; {found.folder} says why for each")
    return found.folder


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
