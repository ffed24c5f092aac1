"""What all jobs share on the command line: options, exit codes, one-line errors, the last line.

Heavy packages stay out of this module, so that `--help` answers at once.
"""

import argparse
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Sequence

from synatt.errors import SynattError, UsageError

log = logging.getLogger("synatt")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def parser(job: str, purpose: str, example: str) -> argparse.ArgumentParser:
    """A parser for `python -m jobs.<job>` whose help says what the job does and shows a command that was run."""
    return _Parser(
        prog=f"python -m jobs.{job}",
        description=textwrap.dedent(purpose).strip(),
        epilog="example:\n" + textwrap.indent(textwrap.dedent(example).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def count(text: str, least: int = 0) -> int:
    """An option's value as a whole number of `least` or more."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return value


def positive(text: str) -> int:
    """An option's value as a whole number of 1 or more."""
    return count(text, 1)


def add_input(p: argparse.ArgumentParser, what: str, required: bool = True) -> None:
    p.add_argument(
        "--input", action="append", required=required, default=[], metavar="PATH", help=f"{what}; repeatable"
    )


def add_output(p: argparse.ArgumentParser, default: str | None = None) -> None:
    shown = f" (default: {default})" if default else ""
    p.add_argument(
        "--output", required=default is None, default=default, metavar="DIR_OR_URI", help=f"where results go{shown}"
    )


def add_recipe(p: argparse.ArgumentParser, default: str | None = None, repeatable: bool = False) -> None:
    shown = f" (default: {default})" if default else ""
    more = "; repeatable" if repeatable else ""
    p.add_argument(
        "--recipe",
        action="append" if repeatable else "store",
        required=default is None,
        default=None if repeatable else default,
        metavar="NAME_OR_FILE",
        help=f"part1, part2, quickstart or a YAML file{shown}{more}",
    )
    add_set(p)


def add_set(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a recipe key, e.g. train.lr_max=1e-6; repeatable",
    )


def add_fitting(p: argparse.ArgumentParser, verb: str) -> None:
    """What the jobs that fit backbones to labelled rows share: rows, recipe, soft labels, backbones, decoded audio."""
    add_input(p, "manifest with labels")
    add_recipe(p)
    add_output(p)
    p.add_argument(
        "--soft",
        action="append",
        default=[],
        metavar="PATH",
        help=f"{verb} the semi-supervised stage, with these soft labels of the pseudo job; repeatable",
    )
    p.add_argument("--backbone", action="append", default=[], metavar="NAME", help=f"{verb} only this one; repeatable")
    p.add_argument("--clips", metavar="DIR_OR_URI", help="keep decoded audio here (default: OUTPUT/_clips)")
    add_cluster(p)


def add_models(p: argparse.ArgumentParser, required: bool = True) -> None:
    p.add_argument(
        "--models",
        action="append",
        required=required,
        default=[],
        metavar="PATH",
        help="model folder, or a folder of them; repeatable",
    )


def add_address(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--address",
        metavar="ADDRESS",
        help="running Ray cluster, e.g. auto or ray://head:10001 (default: Ray's own rules: RAY_ADDRESS, "
        "else the cluster of the submitted job, else a local Ray)",
    )


def add_cluster(p: argparse.ArgumentParser) -> None:
    """`--address`, and what a job that shares its work out may count on."""
    add_address(p)
    p.add_argument(
        "--cpus",
        type=positive,
        metavar="N",
        help="share the work out over N CPUs, of nodes that come on demand (default: those the cluster has now)",
    )
    p.add_argument(
        "--gpus",
        type=count,
        metavar="N",
        help="share the work out over N GPUs, of nodes that come on demand; 0: use none (default: those the cluster "
        "has now)",
    )


class _Lines(logging.Formatter):
    """Lines of progress, in which no URI shows a credential."""

    def format(self, record: logging.LogRecord) -> str:
        return _shown_in(super().format(record))


def _shown_in(text: str) -> str:
    from synatt.storage import shown_in  # late: storage is not needed for --help

    return shown_in(text)


def _expect(cpus: int | None, gpus: int | None) -> None:
    from synatt.distributed.capacity import expect

    expect(cpus, gpus)


def run(
    parse: argparse.ArgumentParser, work: Callable[[argparse.Namespace], str], argv: Sequence[str] | None = None
) -> int:
    """Parse, call `work`, print where its results lie as the last line, and return the exit code.

    Returns:
        0 on success, 2 on a usage or configuration error, 1 when the work failed; both errors are one line on
        standard error. `SYNATT_TRACEBACK=1` adds the traceback.
    """
    args = parse.parse_args(argv)
    # Progress goes to standard error, one line each; the last line of standard output is the result's place.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(message)s", "%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        if "gpus" in args:
            _expect(args.cpus, args.gpus)
        where = work(args)
    except KeyboardInterrupt:
        return _fail(parse, "interrupted; run the same command again to go on", 1)
    except UsageError as err:
        return _fail(parse, str(err), 2)
    except SynattError as err:
        return _fail(parse, str(err), 1)
    except Exception as err:
        if os.environ.get("SYNATT_TRACEBACK") == "1":
            raise
        return _fail(parse, f"{type(err).__name__}: {err} (SYNATT_TRACEBACK=1 shows where)", 1)
    sys.stderr.flush()
    print(_shown_in(where), flush=True)
    return 0


def _fail(parse: argparse.ArgumentParser, message: str, code: int) -> int:
    if os.environ.get("SYNATT_TRACEBACK") == "1":
        logging.getLogger("synatt").exception("failed")
    print(f"{parse.prog}: error: {_shown_in(' '.join(message.split()))}", file=sys.stderr, flush=True)
    return code
