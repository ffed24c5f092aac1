"""How fast Synatt is, each case beside what people would use instead, in one run on one machine.

    uv run --all-extras --with tensorflow-cpu --with librosa --with daft \\
        python -m tests.benchmarks.speed --clips FOLDER --output speed.json [--only log-mel ...]

Cases: `log-mel` (files in, log-mels out: against tf.data, torch's DataLoader, librosa, numpy, plain Ray Data, Daft, and
the bound that reading and transforming set), `ray` (the decode stage of `predict` against the same functions in a pool
of processes), `networks` (every backbone against a plain eager loop), `start` (imports, `--help`, a job's fixed cost),
`hot-path` (where the time of a log-mel goes), `scale` (`predict` by the number of CPUs, models and clips).
Ours and the others take turns; each line has the median of the repeats, their spread, and the ratio. A package that is
not installed is left out and named. Let nothing else run meanwhile.
"""

import argparse
import os
import tempfile
from pathlib import Path

from tests.benchmarks.speed import hotpath, logmels, networks, raydata, results, scale, startup

CASES = ("log-mel", "ray", "networks", "start", "scale", "hot-path")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, type=Path, help="folder of recordings of speech")
    parser.add_argument("--output", type=Path, help="JSON file of everything measured")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--peers", nargs="+", choices=list(logmels.PEERS), default=[], help="of log-mel; all by default"
    )
    parser.add_argument("--count", type=int, default=600, help="clips of each repeat of log-mel")
    parser.add_argument("--rows", type=int, default=6000, help="clips of each repeat of ray")
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 20000], help="clips of scale, rising")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 6, 13], help="models of scale")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    clips = sorted(p for p in args.clips.rglob("*") if p.suffix in (".wav", ".flac"))
    found: list[results.Case] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wavs = logmels.as_wavs(clips, folder / "wavs", args.count)
        if "log-mel" in args.only:
            found += logmels.cases(wavs, folder, args.workers, args.repeats, args.peers)
        if "hot-path" in args.only:
            found += hotpath.cases(wavs, args.repeats)
        if "ray" in args.only:
            found += raydata.cases(wavs, folder, args.workers, args.repeats, args.rows)
        if "networks" in args.only:
            found += networks.cases(args.repeats)
        if "start" in args.only:
            found += startup.cases(wavs[0], folder, args.repeats)
        if "scale" in args.only:
            found += scale.cases(wavs, folder, args.repeats, args.counts, args.members)
    if args.output:
        results.save(found, args.output)


if __name__ == "__main__":
    main()
