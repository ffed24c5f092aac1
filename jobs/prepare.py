"""Data sets, protocol files or any folder of audio -> the manifest."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli
from synatt.datasets import LAYOUTS, PRESETS, SHARED_SOURCES, Options, ProtocolOptions, prepare
from synatt.errors import UsageError

PURPOSE = """
Read data sets into manifest.parquet: one row per track, with label, speaker, split and fold.

The layout of each input is found out by itself: the SP Cup folders, LJSpeech, VCTK, LibriSpeech and Synthetic as
Syn-Att uses them (a folder that holds them all is fine), ASVspoof databases, or any folder whose sub-folders are the
classes (no sub-folders: unlabelled). What does not fit (a track twice, a label without a file, a file without a
label, an unknown label) is dropped and written to problems.parquet.
"""

EXAMPLE = """
python -m jobs.prepare --input data --output runs/data
python -m jobs.prepare --input LA --preset asvspoof2019-la --output runs/la
python -m jobs.prepare --input clips --protocol train=trn.txt --protocol eval=trl.txt \\
    --columns speaker,file,-,attack,key --classes A01,A02 --output runs/own
"""


def _parser() -> argparse.ArgumentParser:
    p = cli.parser("prepare", PURPOSE, EXAMPLE)
    cli.add_input(p, "folder or bucket prefix of a data set, or of several")
    cli.add_output(p)
    p.add_argument(
        "--layout",
        action="append",
        choices=("auto", *LAYOUTS),
        help="layout of the inputs, once for all or once for each (default: auto)",
    )
    p.add_argument(
        "--classes",
        type=_names,
        metavar="A,B,...",
        help="class names; 'unknown' is always there, last (default: the layout's)",
    )
    p.add_argument(
        "--unknown", action="append", default=[], metavar="NAME", help="sub-folder of an unknown algorithm; repeatable"
    )
    p.add_argument("--unlabelled", action="store_true", help="sub-folders of a plain folder are not classes")
    p.add_argument(
        "--share",
        action="append",
        default=[],
        type=_share,
        metavar="SOURCE=FRACTION",
        help=f"fraction used of {', '.join(SHARED_SOURCES)} (default: the method's 0.48, 0.139 and 0.136 of each "
        "speaker, 0.5 of each experiment and algorithm); "
        "floor(fraction * n + 0.5) of n tracks, at least one; repeatable",
    )
    p.add_argument("--seed", type=int, default=42, help="of sampling and folds (default: 42)")
    p.add_argument("--folds", type=int, default=5, help="cross-validation folds (default: 5)")
    p.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="FILE",
        help="CSV or Parquet with a column 'track' that says more of the tracks: speaker (or voice), generator, and "
        "any further columns; repeatable",
    )
    p.add_argument("--strict", action="store_true", help="fail when anything has to be dropped")
    g = p.add_argument_group("protocol files")
    g.add_argument("--preset", choices=PRESETS, help="field order, splits and known attacks of a published database")
    g.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="[SPLIT=]FILE",
        help="protocol file, its rows of split train (default), dev or eval; repeatable",
    )
    g.add_argument(
        "--columns",
        type=_names,
        metavar="A,B,...",
        help="fields in order: speaker, file, attack, key, split, - (ignored)",
    )
    g.add_argument("--separator", default="blank", help="blank (default), comma, tab or one character")
    g.add_argument("--header", action="store_true", help="the first line names the columns")
    g.add_argument("--audio-suffix", metavar="SUFFIX", help="only audio files with this suffix, e.g. .flac")
    cli.add_address(p)
    return p


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _share(text: str) -> tuple[str, float]:
    source, _, number = text.partition("=")
    try:
        return source, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write SOURCE=FRACTION, for example vctk=0.2") from None


def _work(args: argparse.Namespace) -> str:
    layouts = args.layout or ["auto"]
    asked = ProtocolOptions(
        preset=args.preset,
        files=tuple(args.protocol),
        columns=args.columns,
        separator=args.separator,
        header=args.header,
        suffix=args.audio_suffix,
    )
    if (asked.preset or asked.files or asked.columns) and not set(layouts) & {"auto", "protocol"}:
        raise UsageError(f"--preset, --protocol and --columns need --layout protocol, not {', '.join(layouts)}")
    options = Options(
        classes=args.classes,
        unknown=tuple(args.unknown),
        unlabelled=args.unlabelled,
        shares=dict(args.share),
        seed=args.seed,
        folds=args.folds,
        metadata=tuple(args.metadata),
        protocol=asked,
    )
    from synatt.distributed.session import run_there

    return str(run_there(prepare, args.input, args.output, layouts, options, args.strict, address=args.address))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return cli.run(_parser(), _work, argv)


if __name__ == "__main__":
    sys.exit(main())
