"""What all jobs share on the command line: options, exit codes, one-line errors, the last line.

Heavy packages stay out of this module, so that `--help` answers at once.
"""

import argparse
import json
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Sequence

from synatt import logs, signals
from synatt.errors import SynattError, UsageError

log = logging.getLogger("synatt")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(_fail(self, UsageError(f"{message} (see --help)"), 2))


def parser(job: str, purpose: str, example: str) -> argparse.ArgumentParser:
    """A parser for `python -m jobs.<job>` whose help says what the job does and shows a command that was run."""
    p = _Parser(
        prog=f"python -m jobs.{job}",
        description=textwrap.dedent(purpose).strip(),
        epilog="example:\n" + textwrap.indent(textwrap.dedent(example).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument(
        "--log-format",
        choices=logs.FORMATS,
        help="lines of progress and errors on standard error: text, or json, an object a line with time, level, "
        f"message and what it is about (default: {logs.VARIABLE}, else text)",
    )
    return p


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


def probability(text: str) -> float:
    """An option's value as a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


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
    p.add_argument(
        "--profile",
        metavar="FILE",
        help="write what ran on Ray when and where, at the end and after a failure too; open it at "
        "https://ui.perfetto.dev or chrome://tracing",
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


def _expect(cpus: int | None, gpus: int | None) -> None:
    from synatt.distributed.capacity import expect

    expect(cpus, gpus)


def run(
    parse: argparse.ArgumentParser, work: Callable[[argparse.Namespace], str], argv: Sequence[str] | None = None
) -> int:
    """Parse, call `work`, print where its results lie as the last line, and return the exit code.

    Returns:
        0 on success, 2 on a usage or configuration error, 1 when the work failed or was interrupted; each of these is
        one line on standard error. Progress goes there too, one line each. `SYNATT_TRACEBACK=1` adds the traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        logs.set_up(_asked_format(argv), "%(asctime)s %(message)s", job=parse.prog.rpartition(".")[2])
    except ValueError as err:
        return _fail(parse, UsageError(str(err)), 2)
    args = parse.parse_args(argv)
    _warn_of_upload(getattr(args, "output", None))
    try:
        if "gpus" in args:
            _expect(args.cpus, args.gpus)
        with signals.terminable():
            where = _profiled(work, args)
    except KeyboardInterrupt as err:
        how = "ended by SIGTERM" if isinstance(err, signals.Terminated) else "interrupted"
        return _fail(parse, err, 1, f"{how}; run the same command again to go on")
    except UsageError as err:
        return _fail(parse, err, 2)
    except SynattError as err:
        return _fail(parse, err, 1)
    except Exception as err:
        if os.environ.get("SYNATT_TRACEBACK") == "1" and logs.chosen() == logs.TEXT:
            raise
        return _fail(parse, err, 1, f"{type(err).__name__}: {err} (SYNATT_TRACEBACK=1 shows where)")
    sys.stderr.flush()
    print(logs.shown_in(where), flush=True)
    return 0


def _warn_of_upload(output: str | None) -> None:
    """A submitted job runs in a copy of the folder it came from, which Ray deletes when it needs the room."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    if (
        output is None
        or os.path.isabs(output)
        or "://" in output
        or not (job.get("runtime_env") or {}).get("working_dir")
    ):
        return
    where = os.path.abspath(output)
    log.warning(
        "--output %s: %s is in Ray's copy of the submitted folder and does not last: give an absolute path or a URI",
        output,
        where,
    )


def _profiled(work: Callable[[argparse.Namespace], str], args: argparse.Namespace) -> str:
    if not getattr(args, "profile", None):
        return work(args)
    from synatt.distributed import timeline

    with timeline.asked(args.profile):
        return work(args)


def _asked_format(argv: Sequence[str]) -> str:
    """The format for lines, known before the rest of the command line is looked at: errors in that are lines too."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--log-format", choices=logs.FORMATS)
    try:
        given = early.parse_known_args(argv)[0].log_format
    except argparse.ArgumentError:
        # The parser of the job says what is wrong with it.
        given = None
    return given or logs.from_environment()


def _fail(parse: argparse.ArgumentParser, err: BaseException, code: int, message: str = "") -> int:
    """Say in one line why the job failed; returns `code`."""
    said = " ".join((message or str(err)).split())
    traceback = os.environ.get("SYNATT_TRACEBACK") == "1" and err.__traceback__ is not None
    if logs.chosen() == logs.JSON:
        log.error(said, extra=logs.fields(**logs.error_fields(err, code)), exc_info=err if traceback else None)
        return code
    if traceback:
        log.error("failed", exc_info=err)
    print(f"{parse.prog}: error: {logs.shown_in(said)}", file=sys.stderr, flush=True)
    return code
