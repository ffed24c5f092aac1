"""Recordings -> perturbed copies: test sets with noise, rooms, codecs and the rest, at stated strengths."""

import argparse
import sys
from collections.abc import Sequence

from synatt import cli
from synatt.perturb.suite import KINDS, LEVELS

PURPOSE = """
Write perturbed copies of recordings, and a manifest that says what was done to each.

Levels are clean, weak, medium and strong. Kinds are edit (pitch, speed), room, noise, gain (level, clipping), band,
codec and loss (packets); a weak copy has one of them, others one or two. The seed, a track's name and the level decide
what is drawn; without --babble, babble is made of the other inputs. The manifest is a test set: give it to predict as
--input and to evaluate as --labels.

Writes OUTPUT/speech/LEVEL/*.flac, OUTPUT/manifest.parquet and OUTPUT/problems.parquet (recordings that cannot be
read). The same command again does only what is missing.
"""

EXAMPLE = """
python -m jobs.perturb --input quickstart/corpus/speech --level weak --level strong --output runs/perturbed
"""


def _parser() -> argparse.ArgumentParser:
    p = cli.parser("perturb", PURPOSE, EXAMPLE)
    cli.add_input(p, "manifest, or folder or bucket prefix of audio")
    cli.add_output(p)
    p.add_argument("--level", action="append", choices=LEVELS, help="repeatable (default: all four)")
    p.add_argument("--kind", action="append", choices=KINDS, help="what may be drawn; repeatable (default: all)")
    p.add_argument("--noise", action="append", default=[], metavar="PLACE", help="recordings of noise; repeatable")
    p.add_argument("--room", action="append", default=[], metavar="PLACE", help="room impulse responses; repeatable")
    p.add_argument(
        "--babble", action="append", default=[], metavar="PLACE", help="speech for babble (default: the inputs)"
    )
    p.add_argument("--seed", type=cli.count, default=0, metavar="N", help="of all draws (default: 0)")
    cli.add_cluster(p)
    return p


def work(args: argparse.Namespace) -> str:
    from synatt import storage
    from synatt.distributed.session import ray_session
    from synatt.distributed.streams import run_tasks
    from synatt.inputs import read_inputs
    from synatt.perturb import read_materials
    from synatt.perturbed import perturb_rows

    rows = read_inputs(args.input)
    materials = read_materials(args.babble, args.noise, args.room)
    storage.check_writable(args.output)
    storage.set_patience(storage.RUN_PATIENCE_S)
    with ray_session(args.address):
        return perturb_rows(
            rows,
            args.output,
            args.level or LEVELS,
            run_tasks,
            kinds=args.kind or KINDS,
            materials=materials,
            seed=args.seed,
        )


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
