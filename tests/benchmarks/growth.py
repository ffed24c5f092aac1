"""Nodes over time while jobs run on a cluster that is its head alone, without a CPU: figures, and a plot of them.

    python -m tests.benchmarks.growth --clips FOLDER --output cluster/growth.svg [--rows 10000]

Ray's own autoscaler starts and ends the nodes, on this machine. Three jobs follow each other, the head alone between
them: `predict --cpus 2`, `predict --gpus 1` on a node that only says it has a GPU, and `train --cpus 2`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from jobs import prepare
from synatt.report.style import ink, themed_svg
from tests.conftest import make_tiny_recipe
from tests.growing import IDLE_S, KINDS, NO_TOKEN, Watch, growing_cluster
from tests.predictrun import ended, make_manifest, start_job, write_model
from tests.speechtree import make_spcup, say_all

COLOURS = {"decode": "accent", "gpu": "warm"}


def jobs(folder: Path, clips: list[str], rows: int) -> dict[str, tuple[str, list[str]]]:
    """Title -> (job, arguments)."""
    write_model(folder / "model", make_tiny_recipe(), seed=1)
    data = make_spcup(folder / "data", say_all(), train=4, evaluation=6)
    assert prepare.main(["--input", str(data), "--layout", "spcup", "--output", str(folder / "rows")]) == 0
    (folder / "tiny.yaml").write_text(make_tiny_recipe(classes=None).to_yaml())
    many, few = (make_manifest(folder / f"rows{n}.parquet", clips, n) for n in (rows, 600))
    scored = ["--models", str(folder / "model")]
    train = ["--input", str(folder / "rows"), "--recipe", str(folder / "tiny.yaml"), "--set", "train.workers=2"]
    found = {
        f"predict --cpus 2, {rows:,} clips": ("predict", ["--input", str(many), *scored, "--cpus", "2"]),
        "predict --gpus 1, 600 clips": ("predict", ["--input", str(few), *scored, "--gpus", "1"]),
        "train --cpus 2, 2 workers": ("train", [*train, "--cpus", "2"]),
    }
    return {
        title: (job, [*argv, "--output", str(folder / f"out{i}")])
        for i, (title, (job, argv)) in enumerate(found.items())
    }


def watched(watch: Watch, job: str, argv: list[str], log: Path) -> tuple[pd.DataFrame, float]:
    """(seconds and nodes of each type, once a second, until the head is alone again; seconds the job took)."""
    assert watch.wait_for_none(limit_s=IDLE_S + 90)
    watch.seen.clear()
    start = time.monotonic()
    process = start_job(job, argv, log, {"RAY_ADDRESS": watch.address, **NO_TOKEN})
    with ended(process):
        assert process.wait(timeout=600) == 0, log.read_text()[-4000:]
    took = time.monotonic() - start
    assert watch.wait_for_none(limit_s=IDLE_S + 90)
    seen = pd.DataFrame([{"seconds": at, **{kind: counts.get(kind, 0) for kind in KINDS}} for at, counts in watch.seen])
    # The head is alone now; the watch may not have looked since.
    seen.loc[len(seen)] = {"seconds": seen.seconds.iloc[-1] + 1.0, **dict.fromkeys(KINDS, 0)}
    return seen.assign(seconds=seen.seconds - seen.seconds.iloc[0]), took


def plot(runs: dict[str, tuple[pd.DataFrame, float]]) -> bytes:
    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(runs), 1, sharex=True, sharey=True)
        for axis, (title, (seen, took)) in zip(axes, runs.items(), strict=True):
            for kind, role in COLOURS.items():
                axis.step(seen.seconds, seen[kind], where="post", color=ink(role), label=f"{kind} nodes")
            axis.axvline(took, color=ink("muted"), linewidth=1, linestyle=":", label="the job has ended")
            axis.set(title=title, ylabel="nodes", yticks=range(5))
            axis.grid(axis="y")
        axes[1].legend(loc="upper right")
        axes[-1].set_xlabel("seconds since the job was started")

    return themed_svg(8.0, 6.5, draw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", required=True, help="folder of recordings")
    parser.add_argument("--output", required=True, help="the plot; figures go beside it as CSV")
    parser.add_argument("--rows", type=int, default=10_000)
    args = parser.parse_args()
    clips = sorted(str(p) for p in Path(args.clips).rglob("*") if p.suffix in (".wav", ".flac"))[:200]
    with tempfile.TemporaryDirectory() as place, growing_cluster(Path(place), KINDS, IDLE_S) as watch:
        folder = Path(place)
        todo = jobs(folder, clips, args.rows)
        runs = {title: watched(watch, job, argv, folder / "log") for title, (job, argv) in todo.items()}
    Path(args.output).write_bytes(plot(runs))
    frames = [seen.assign(job=title, job_took_s=round(took, 1)).round(1) for title, (seen, took) in runs.items()]
    pd.concat(frames).to_csv(Path(args.output).with_suffix(".csv"), index=False)
    for title, (seen, took) in runs.items():
        most = ", ".join(f"{kind} {seen[kind].max()}" for kind in KINDS)
        print(f"{title}: job {took:.0f} s, head alone again after {seen.seconds.iloc[-1]:.0f} s, most nodes: {most}")


if __name__ == "__main__":
    main()
