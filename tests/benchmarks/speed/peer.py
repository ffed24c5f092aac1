"""One peer over all files of some work, in a process of its own: prints one line of JSON.

python -m tests.benchmarks.speed.peer NAME WORK.json [--keep ARRAYS.npy]
"""

import argparse
import importlib
import json
import os
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.speed.work import Work

KEPT = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("work", type=Path)
    parser.add_argument("--keep", type=Path, help=f"write the first {KEPT} log-mels here")
    args = parser.parse_args()
    # A worker has one core; every library's own threads would only fight over it.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    work, begun = Work.read(args.work), time.perf_counter()
    made = importlib.import_module(f"tests.benchmarks.speed.peers.{args.name}").logmels(work)
    # Every peer first says that its workers stand, which is not timed.
    next(made)
    start, count, kept = time.perf_counter(), 0, []
    for logmel in made:
        if count < KEPT:
            kept.append(logmel)
        count += 1
    seconds = time.perf_counter() - start
    assert count == len(work.paths), f"{args.name} gave {count} log-mels of {len(work.paths)} files"
    if args.keep:
        np.save(args.keep, np.stack(kept))
    print(json.dumps({"clips_s": count / seconds, "start_s": start - begun}))


if __name__ == "__main__":
    main()
