"""The `predict` job: what is to be done, what is done already, and publishing the finished tables.

The staging folder holds one file per scored chunk. When all are there they are merged, checked row by row against the
input, and moved into place; until then the output folder has no `predictions`.
"""

import hashlib
import json
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synatt import predictions, storage
from synatt.ensemble import EnsemblePlan, plan
from synatt.errors import UsageError, WorkError
from synatt.manifest import Manifest

log = logging.getLogger("synatt")

STAGING, PLAN_FILE, COMMIT_FILE = "_staging", "plan.json", "_manifest.json"


@dataclass(frozen=True)
class PredictSettings:
    """What the user may choose.

    Attributes:
        members: also write the per-backbone probabilities.
        answer: also write the competition's answer file.
        fresh: drop what an earlier run left.
        address: of a Ray cluster.
    """

    members: bool = False
    answer: bool = False
    fresh: bool = False
    address: str | None = None


def predict(inputs: Manifest, models: list[str], output: str, settings: PredictSettings) -> str:
    """Score every row of `inputs` and write `output`/predictions; a rerun does only what is missing.

    Returns:
        the path of the predictions table.

    Raises:
        UsageError: models or inputs cannot be used, or an earlier run in `output` was of something else.
        WorkError: a stage failed, or rows are missing at the end.
    """
    from synatt.distributed.streams import chunk_rows

    ensemble = plan(models)
    rows = inputs.table.select(["track", "path"]).combine_chunks()
    size = chunk_rows(ensemble)
    asked = _fingerprint(rows, ensemble, settings, size)
    if settings.fresh:
        for name in (STAGING, "predictions", "members", COMMIT_FILE):
            _remove(storage.join(output, name))
    _refuse_other(output, asked)
    run = f"{ensemble.run}-{asked['rows_digest'][:8]}"
    if storage.is_file(storage.join(output, COMMIT_FILE)):
        log.info("predictions are complete already: %d rows", rows.num_rows)
    else:
        _score_missing(rows, ensemble, output, asked, run, settings)
        _publish(rows, ensemble, output, asked, run, settings)
    if settings.answer:
        predictions.write_answer(output, predictions.read(output))
    log_summary(predictions.read(output))
    return storage.join(output, "predictions")


def _score_missing(
    rows: pa.Table, ensemble: EnsemblePlan, output: str, asked: dict[str, Any], run: str, settings: PredictSettings
) -> None:
    from synatt.distributed.session import ray_session
    from synatt.distributed.streams import chunk_file, score_chunks

    staging = storage.join(output, STAGING)
    storage.write_json(storage.join(staging, PLAN_FILE), asked)
    chunks = -(-rows.num_rows // asked["chunk_rows"])
    storage.make_dirs(storage.join(staging, "predictions"))
    there = {name for name, _ in storage.list_files(storage.join(staging, "predictions"))}
    todo = [c for c in range(chunks) if chunk_file(c) not in there]
    if len(todo) < chunks:
        log.info("%d of %d chunks are done already", chunks - len(todo), chunks)
    if todo:
        log.info("scoring %d rows with %d models: %s", rows.num_rows, len(ensemble.names), ", ".join(ensemble.names))
        with ray_session(settings.address):
            score_chunks(rows, todo, ensemble, staging, run, settings.members)


def _fingerprint(rows: pa.Table, ensemble: EnsemblePlan, settings: PredictSettings, size: int) -> dict[str, Any]:
    digest = hashlib.sha256()
    for batch in rows.to_batches(max_chunksize=65_536):
        digest.update(json.dumps([c.to_pylist() for c in batch.columns], ensure_ascii=True).encode())
    return {
        "rows": rows.num_rows,
        "rows_digest": digest.hexdigest(),
        "models": ensemble.run,
        "members": settings.members,
        "chunk_rows": size,
    }


def _refuse_other(output: str, asked: dict[str, Any]) -> None:
    for path in (storage.join(output, COMMIT_FILE), storage.join(output, STAGING, PLAN_FILE)):
        if not storage.is_file(path):
            continue
        found = storage.read_json(path)
        changed = [key for key in asked if found.get(key) != asked[key]]
        if changed:
            names = {"rows": "the number of input rows", "rows_digest": "the input rows", "models": "the models"}
            what = ", ".join(
                names.get(key, f"--{key}") for key in changed if (key, "rows") != ("rows_digest", changed[0])
            )
            raise UsageError(
                f"{output} holds an earlier run, and since then {what} changed: give --fresh or another --output"
            )


def _publish(
    rows: pa.Table, ensemble: EnsemblePlan, output: str, asked: dict[str, Any], run: str, settings: PredictSettings
) -> None:
    staging = storage.join(output, STAGING)
    files = []
    for name in ("predictions", "members") if settings.members else ("predictions",):
        want = (
            predictions.schema(ensemble.classes)
            if name == "predictions"
            else predictions.members_schema(ensemble.classes)
        )
        below = storage.join(staging, name)
        parts = [name for name, _ in storage.list_files(below)] if rows.num_rows else []
        merged = pa.concat_tables(
            [storage.read_table(storage.join(below, part)) for part in parts] or [want.empty_table()]
        )
        merged = merged.replace_schema_metadata({**(want.metadata or {}), b"synatt.run": json.dumps(asked).encode()})
        if name == "predictions":
            check_complete(rows.column("track"), merged.column("track"))
        # Half a table must never be seen: the old folder goes first, the one file of the new one comes whole.
        _remove(storage.join(output, name))
        target = storage.join(output, name, "part-00000.parquet")
        storage.write_table(target, merged)
        files.append(
            {"file": f"{name}/part-00000.parquet", "rows": merged.num_rows, "bytes": storage.info(target).size}
        )
    storage.write_json(storage.join(output, COMMIT_FILE), {**asked, "run": run, "files": files})
    _remove(staging)


def check_complete(wanted: pa.ChunkedArray, found: pa.ChunkedArray) -> None:
    """Compare keys of input and output.

    Raises:
        WorkError: a key is missing, foreign or there twice.
    """
    missing = pc.sum(pc.invert(pc.is_in(wanted, value_set=found.unique()))).as_py() or 0
    twice = len(found) - pc.count_distinct(found).as_py()
    if missing or twice or len(found) != len(wanted):
        raise WorkError(
            f"the predictions do not match the input: {len(wanted)} rows asked, {len(found)} written, "
            f"{missing} missing, {twice} there twice; run again with --fresh"
        )


def _remove(path: str) -> None:
    if storage.is_file(path):
        storage.delete_file(path)
    else:
        storage.delete_dir(path)


def log_summary(table: pa.Table) -> None:
    """Say how many rows got which answer, and why others got none."""
    status = Counter(table.column("status").to_pylist())
    log.info("%d rows: %d ok, %d errors", table.num_rows, status["ok"], status["error"])
    for name, count in Counter(table.column("algorithm_name").drop_null().to_pylist()).most_common():
        log.info("  %-24s %d", name, count)
    kinds = Counter(str(e).partition(":")[0] for e in table.column("error").drop_null().to_pylist())
    for kind, count in kinds.most_common():
        log.info("  error %-18s %d", kind, count)
