"""Memory of `predict` by the number of rows: the same real clips under new keys.

    python -m tests.benchmarks.memory --clips FOLDER --models MODEL_FOLDER --rows 2000 20000 200000

Each size runs in a process of its own. Sampled twice a second: resident memory of the driver and of the largest worker
(shared pages, that is mapped objects of Ray's store, are counted apart), bytes in the object store, spilled bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from synatt.batch import PredictSettings, predict
from synatt.sources import read_rows
from tests.benchmarks.pace import watched
from tests.predictrun import make_manifest


class Sampler:
    """Peaks of memory while a `with` block runs."""

    def __init__(self) -> None:
        self.peak = {"driver_mb": 0.0, "driver_own_mb": 0.0, "worker_own_mb": 0.0, "store_mb": 0.0, "spilled_mb": 0.0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.5):
            self._see("driver_mb", me.memory_info().rss)
            self._see("driver_own_mb", me.memory_info().rss - me.memory_info().shared)
            for process in me.children(recursive=True):
                try:
                    if "ray::" in process.cmdline()[0]:
                        info = process.memory_info()
                        self._see("worker_own_mb", info.rss - info.shared)
                except (psutil.Error, IndexError):
                    continue
            self._store()

    def _see(self, name: str, value: float) -> None:
        self.peak[name] = max(self.peak[name], value / (1 << 20))

    def _store(self) -> None:
        import ray
        from ray._private.internal_api import get_memory_info_reply, get_state_from_address

        if not ray.is_initialized():
            return
        try:
            stats = get_memory_info_reply(get_state_from_address(None)).store_stats
        except Exception:  # Ray starts or ends just now
            return
        self._see("store_mb", stats.object_store_bytes_used)
        self._see("spilled_mb", stats.spilled_bytes_total)


def measure(manifest: str, models: str, output: str) -> dict[str, Any]:
    start = time.perf_counter()
    with Sampler() as sampler, watched() as pace:
        found = predict(lambda: read_rows([manifest]), [models], output, PredictSettings())
    seconds = time.perf_counter() - start
    files = sum(f["bytes"] for f in found.summary.files)
    started = {"seconds": seconds, "first_s": pace.first_s, "started_clips_s": pace.whole_clips_s}
    return {"rows": found.summary.rows, **started, "table_mb": files / (1 << 20), **sampler.peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", help="folder of recordings")
    parser.add_argument("--models", required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 20000, 200000])
    parser.add_argument("--one", nargs=2, metavar=("MANIFEST", "OUTPUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], args.models, args.one[1])))
        return
    clips = sorted(str(p) for p in Path(args.clips).rglob("*") if p.suffix in (".wav", ".flac"))
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for rows in args.rows:
            manifest = make_manifest(Path(scratch) / f"{rows}.parquet", clips, rows)
            command = [sys.executable, "-m", "tests.benchmarks.memory", "--models", args.models]
            command += ["--one", str(manifest), str(Path(scratch) / f"out-{rows}")]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            r = results[-1]
            print(
                f"{r['rows']:>8,} rows: {r['seconds']:.0f} s, {r['rows'] / r['seconds']:.1f} clips/s, once started "
                f"{r['started_clips_s']:.1f}, first block after {r['first_s']:.1f} s, "
                f"driver {r['driver_mb']:.0f} MB (own {r['driver_own_mb']:.0f}), "
                f"largest worker {r['worker_own_mb']:.0f} "
                f"MB, object store {r['store_mb']:.0f} MB, spilled "
                f"{r['spilled_mb']:.0f} MB, table {r['table_mb']:.1f} MB",
                flush=True,
            )
    if len(results) > 1:
        a, b = results[-2:]
        print(
            f"{a['rows']:,} -> {b['rows']:,} rows: driver {b['driver_mb'] / a['driver_mb'] - 1:+.1%}, "
            f"clips/s once started {b['started_clips_s'] / a['started_clips_s'] - 1:+.1%}"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
