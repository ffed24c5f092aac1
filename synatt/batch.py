"""The `predict` job: write down the work, score what is not scored yet, publish the finished tables.

`_staging` below the output holds the worklist, the plan, and one small file for each scored block; a rerun does only
what is missing there. The tables appear when all of it is done and checked.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from synatt import __version__, logs, predictions, publish, staged, storage, worklist
from synatt.ensemble import EnsemblePlan, plan
from synatt.errors import UsageError, WorkError
from synatt.inference import PLAIN, Inference
from synatt.progress import Progress
from synatt.publish import Merge, Summary
from synatt.staging import Windows
from synatt.worklist import Rows, Worklist

if TYPE_CHECKING:
    from synatt.distributed.streams import Scoring

log = logging.getLogger("synatt")

STAGING, PLAN_FILE, COMMIT_FILE = "_staging", "plan.json", "_manifest.json"
# Recordings scored window by window take minutes each: fewer of them make a shard.
WINDOWED_SHARD_ROWS = 16
# A retry on a lost node's behalf may leave a shard unfinished; it is done again before the run is called a failure.
ROUNDS = 3
TABLES = ("predictions", "members", "embeddings", "windows")

RowStream = Callable[[], Iterator[Rows]]


@dataclass(frozen=True)
class PredictSettings:
    """What the user may choose.

    Attributes:
        members: also write the per-backbone probabilities.
        embeddings: also write the penultimate vector of each backbone.
        windows: score recordings as a whole, window by window; None: one clip of each.
        window_rows: also write a row per window.
        by_source: one folder per source of the manifest.
        answer: also write the competition's answer file.
        fresh: drop what an earlier run left.
        address: of a Ray cluster.
        stall_s: give the run up when nothing comes for so long; None: never.
        inference: what runs the networks.
    """

    members: bool = False
    embeddings: bool = False
    windows: Windows | None = None
    window_rows: bool = False
    by_source: bool = False
    answer: bool = False
    fresh: bool = False
    address: str | None = None
    stall_s: float | None = 1800.0
    inference: Inference = PLAIN

    @property
    def tables(self) -> tuple[str, ...]:
        asked = (True, self.members, self.embeddings, self.windows is not None and self.window_rows)
        return tuple(name for name, wanted in zip(TABLES, asked, strict=True) if wanted)


@dataclass(frozen=True)
class Predicted:
    """Where the predictions lie and what they came to."""

    folder: str
    summary: Summary


def predict(rows: RowStream, models: list[str], output: str, settings: PredictSettings) -> Predicted:
    """Score every row of the input and write `output`/predictions; a rerun does only what is missing.

    Args:
        rows: gives the stream of input rows anew with each call.

    Raises:
        UsageError: models or inputs cannot be used, or an earlier run in `output` was of something else.
        WorkError: a stage failed or stalled, or rows are missing at the end.
    """
    ensemble = plan(models, settings.inference)
    width = _embedding_width(ensemble, settings)
    if settings.fresh:
        for name in (COMMIT_FILE, STAGING, *TABLES):
            _remove(storage.join(output, name))
    asked = _options(ensemble, settings)
    finished = _finished(output, rows, asked)
    if finished is None:
        work = _worklist(output, rows, settings, asked, len(ensemble.names))
        named = {"run": f"{ensemble.run}-{work.digest[:8]}", **asked}
        # What has begun should survive that storage does not answer for a while.
        storage.set_patience(storage.RUN_PATIENCE_S)
        staging = storage.absolute(storage.join(output, STAGING))
        run = _Run(work, ensemble, settings, width, named, staging)
        records = [_Record(staging, number, segment) for number, segment in enumerate(work.segments)]
        with logs.knowing(run=named["run"]):
            _score_missing(run, records)
            finished = _publish(run, records, output)
    for line in publish.summary_lines(finished):
        log.info("%s", line)
    if settings.answer:
        predictions.write_answer(output, predictions.read(output))
    return Predicted(storage.join(output, "predictions"), finished)


def _options(ensemble: EnsemblePlan, settings: PredictSettings) -> dict[str, Any]:
    """All that decides the rows besides the input; a rerun must agree with it."""
    windows = settings.windows
    return {
        "models": ensemble.run,
        "tables": list(settings.tables),
        "windows": None if windows is None else [windows.hop, windows.limit_s],
        "partition": "source" if settings.by_source else None,
        # Other arithmetic gives other digits: what it began is not finished with another.
        "inference": [settings.inference.engine, settings.inference.precision],
    }


def _embedding_width(ensemble: EnsemblePlan, settings: PredictSettings) -> int:
    widths = set(ensemble.head_units)
    if settings.embeddings and len(widths) > 1:
        raise UsageError(f"the models' embeddings differ in length ({sorted(widths)}): write them for one at a time")
    return max(widths)


def _finished(output: str, rows: RowStream, asked: dict[str, Any]) -> Summary | None:
    """The summary of an earlier run of the same that is complete, None when there is none."""
    path = storage.join(output, COMMIT_FILE)
    if not storage.is_file(path):
        return None
    found = storage.read_json(path)
    _refuse_other(output, found, asked, *worklist.digest_of(rows()))
    storage.delete_dir(storage.join(output, STAGING))
    log.info("predictions are complete already: %s rows", f"{found['rows']:,}")
    return Summary.from_dict(found["summary"])


def _worklist(output: str, rows: RowStream, settings: PredictSettings, asked: dict[str, Any], models: int) -> Worklist:
    """The worklist of this run: the one an earlier try wrote, if the input is still the same."""
    path = storage.join(output, STAGING, PLAN_FILE)
    if storage.is_file(path):
        found = storage.read_json(path)
        _refuse_other(output, found, asked, *worklist.digest_of(rows()))
        return Worklist.from_dict(found["work"])
    for name in settings.tables:
        if storage.exists(storage.join(output, name)):
            raise UsageError(
                f"{storage.shown(output)}/{name} is there, but no finished run wrote it: give --fresh to replace it, "
                "or another --output"
            )
    # Without a plan nothing there can be trusted: an earlier try ended while it was writing its worklist.
    storage.delete_dir(storage.join(output, STAGING))
    most = worklist.most_rows(models) if settings.windows is None else WINDOWED_SHARD_ROWS
    work = worklist.write(rows(), storage.join(output, STAGING, "work"), most)
    whole = {**asked, "rows": work.rows, "rows_digest": work.digest, "work": work.as_dict()}
    storage.write_json(path, whole)
    return work


def _refuse_other(output: str, found: dict[str, Any], asked: dict[str, Any], rows: int, digest: str) -> None:
    changed = [key for key in asked if found.get(key) != asked[key]]
    names = {
        "models": "the models",
        "tables": "the tables asked for (--members, --embeddings, --window-rows)",
        "windows": "--windows",
        "partition": "--partition-by",
        "inference": "--engine or --precision",
    }
    what = [names[key] for key in changed]
    if found.get("rows") != rows:
        what.append(f"the number of input rows ({found.get('rows')}, now {rows})")
    elif found.get("rows_digest") != digest:
        what.append("the input rows")
    if what:
        raise UsageError(
            f"{storage.shown(output)} holds an earlier run, and since then {', '.join(what)} changed: "
            "give --fresh or another --output"
        )


@dataclass(frozen=True)
class _Run:
    """What a run is: its work, models and settings, and where it keeps what is not published yet."""

    work: Worklist
    ensemble: EnsemblePlan
    settings: PredictSettings
    width: int
    asked: dict[str, Any]
    staging: str

    @property
    def folder(self) -> str:
        return storage.join(self.staging, "work")

    @property
    def ready(self) -> str:
        return storage.join(self.staging, "ready")

    def scoring(self, record: "_Record") -> "Scoring":
        from synatt.distributed.streams import Scoring

        tables = tuple(k for k in self.settings.tables if k in (staged.MEMBERS, staged.EMBEDDINGS))
        names = (self.folder, record.folder, record.segment.name)
        return Scoring(self.ensemble, self.asked["run"], *names, self.settings.windows, tables, logs.chosen())

    def merge(self, record: "_Record") -> Merge:
        told = {"run": json.dumps({**self.asked, "backbones": self.ensemble.names}), "version": __version__}
        return Merge(
            self.folder,
            record.segment.name,
            record.folder,
            self.ready,
            record.number,
            self.settings.tables,
            self.ensemble.classes,
            self.width,
            None if self.settings.windows is None else self.ensemble.window_s,
            self.settings.by_source,
            told,
        )


def _score_missing(run: _Run, records: "list[_Record]") -> None:
    """Score what has no staged file yet, and merge each segment once it is whole."""
    from synatt.distributed.session import ray_session
    from synatt.distributed.streams import run_task, score_shards

    left = [record for record in records if not record.merged()]
    done = {record.number: record.whole() for record in left}
    staged_rows = sum(name.rows for shards in done.values() for names in shards.values() for name in names)
    before = run.work.rows - sum(record.segment.rows for record in left) + staged_rows
    if before:
        log.info("%s of %s rows are done already", f"{before:,}", f"{run.work.rows:,}")
    if not left:
        return
    names = run.ensemble.names
    log.info("scoring %s rows with %d models: %s", f"{run.work.rows - before:,}", len(names), ", ".join(names))
    progress = Progress(run.work.rows, before)
    with ray_session(run.settings.address):
        for record in left:
            for _ in range(ROUNDS):
                todo = [shard for shard in range(record.segment.shards) if shard not in done[record.number]]
                if not todo:
                    break
                score_shards(todo, run.scoring(record), progress, run.settings.stall_s)
                done[record.number] = record.whole()
            record.write(run_task(publish.merge_segment, run.merge(record)))
        progress.finish()


def _publish(run: _Run, records: "list[_Record]", output: str) -> Summary:
    summary = Summary()
    for record in records:
        summary.merge(record.read())
    if summary.rows != run.work.rows:
        raise WorkError(f"{run.work.rows} rows were asked and {summary.rows} written: run again with --fresh")
    publish.move_into_place(run.ready, output, run.settings.tables)
    commit = {
        **run.asked,
        "rows": run.work.rows,
        "rows_digest": run.work.digest,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "summary": summary.as_dict(),
    }
    storage.write_json(storage.join(output, COMMIT_FILE), commit)
    storage.discard(run.staging)
    return summary


@dataclass(frozen=True)
class _Record:
    """A segment's place in the staging folder, and the record of its merged files once they are there."""

    staging: str
    number: int
    segment: worklist.Segment

    @property
    def folder(self) -> str:
        return storage.join(self.staging, "scored", f"{self.number:05d}")

    @property
    def _path(self) -> str:
        return storage.join(self.staging, "merged", f"{self.number:05d}.json")

    def merged(self) -> bool:
        return storage.is_file(self._path)

    def read(self) -> Summary:
        return Summary.from_dict(storage.read_json(self._path))

    def whole(self) -> dict[int, list[staged.Name]]:
        """The shards that are scored, with their staged files."""
        return staged.finished_in(self.folder)

    def write(self, summary: dict[str, Any]) -> None:
        storage.write_json(self._path, summary)
        storage.delete_dir(self.folder)


def _remove(path: str) -> None:
    if storage.is_file(path):
        storage.delete_file(path)
    else:
        storage.delete_dir(path)
