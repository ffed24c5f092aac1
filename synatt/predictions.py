"""Probabilities -> the rows of `predictions`, of the sibling table `members`, and the competition's answer file."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synatt import storage
from synatt.constants import UNKNOWN

DESCRIPTIONS = {
    "track": "unique key of the recording, from the manifest",
    "path": "where the recording lies",
    "status": "ok or error",
    "error": "why there is no answer, as 'kind: sentence'; null when ok",
    "duration_s": "length of the whole recording in seconds; null when it could not be read",
    "sample_rate_hz": "sampling rate found in the file",
    "algorithm": "index of the most probable class",
    "algorithm_name": "its name",
    "confidence": "calibrated probability of `algorithm`",
    "unknown_score": "higher = less like any known algorithm: 1 - the largest probability of a known class",
    "run": "id of the ensemble and of the run",
    "backbone": "member of the ensemble",
    "embedding": "penultimate vector of `backbone`, the mean over crops and windows",
    "window": "number of the window within its recording, from 0; silent windows are left out",
    "start_s": "where the window starts in the recording, in seconds",
    "end_s": "where it ends",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one recording: probabilities ``[C]``, or an error."""

    track: str
    path: str
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    error: str | None = None


def schema(classes: Sequence[str]) -> pa.Schema:
    """The `predictions` table for these classes; every column says in its metadata what it is."""
    fields = [
        ("track", pa.string()),
        ("path", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("duration_s", pa.float32()),
        ("sample_rate_hz", pa.int32()),
        ("algorithm", pa.int8()),
        ("algorithm_name", pa.string()),
        ("confidence", pa.float32()),
        *((f"p_{name}", pa.float32()) for name in classes),
        ("unknown_score", pa.float32()),
        ("run", pa.string()),
    ]
    return _described(fields, {"synatt.classes": json.dumps(list(classes))})


def _described(fields: Sequence[tuple[str, pa.DataType]], metadata: dict[str, str] | None = None) -> pa.Schema:
    described = [
        pa.field(name, kind, metadata={"description": DESCRIPTIONS.get(name, f"probability of {name[2:]}")})
        for name, kind in fields
    ]
    return pa.schema(described, metadata=metadata)


def members_schema(classes: Sequence[str]) -> pa.Schema:
    """The `members` table: one row per track and backbone."""
    columns = [("track", pa.string()), ("backbone", pa.string()), *((f"p_{c}", pa.float32()) for c in classes)]
    return _described([*columns, ("run", pa.string())])


def unknown_score(probs_BC: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """float32 ``[B]``: 1 - the largest probability of a known class (max-softmax over the known ones)."""
    known = [i for i, name in enumerate(classes) if name != UNKNOWN]
    return (1.0 - probs_BC[:, known].max(axis=1)).astype(np.float32)


def table(outcomes: Sequence[Outcome], probs_BC: np.ndarray, classes: Sequence[str], run: str) -> pa.Table:
    """The `predictions` rows of a batch.

    Args:
        probs_BC: float32, one row per outcome; rows of failed outcomes are ignored.
    """
    failed = np.array([o.error is not None for o in outcomes], dtype=bool)
    probs = np.asarray(probs_BC, dtype=np.float32).reshape(len(outcomes), len(classes))
    best = probs.argmax(axis=1) if len(outcomes) else np.zeros(0, np.int64)
    names = np.asarray(classes, dtype=object)[best]
    columns: dict[str, pa.Array] = {
        "track": pa.array([o.track for o in outcomes], pa.string()),
        "path": pa.array([o.path for o in outcomes], pa.string()),
        "status": pa.array(["error" if f else "ok" for f in failed], pa.string()),
        "error": pa.array([o.error for o in outcomes], pa.string()),
        "duration_s": pa.array([o.duration_s for o in outcomes], pa.float32()),
        "sample_rate_hz": pa.array([o.sample_rate_hz for o in outcomes], pa.int32()),
        "algorithm": pa.array(best.astype(np.int8), pa.int8(), mask=failed),
        "algorithm_name": pa.array(names, pa.string(), mask=failed),
        "confidence": pa.array(probs.max(axis=1, initial=0), pa.float32(), mask=failed),
        "unknown_score": pa.array(unknown_score(probs, classes), pa.float32(), mask=failed),
        "run": pa.array([run] * len(outcomes), pa.string()),
    }
    for i, name in enumerate(classes):
        columns[f"p_{name}"] = pa.array(np.ascontiguousarray(probs[:, i]), pa.float32(), mask=failed)
    want = schema(classes)
    return pa.table([columns[name] for name in want.names], schema=want)


def members_table(
    tracks: Sequence[str], probs_NBC: np.ndarray, names: Sequence[str], classes: Sequence[str], run: str
) -> pa.Table:
    """The `members` rows of answered recordings: all of the first backbone, then all of the second, and so on."""
    flat = np.asarray(probs_NBC, dtype=np.float32).reshape(len(names) * len(tracks), len(classes))
    columns = [
        pa.array(list(tracks) * len(names), pa.string()),
        pa.array([name for name in names for _ in tracks], pa.string()),
        *(pa.array(np.ascontiguousarray(flat[:, i])) for i in range(len(classes))),
        pa.array([run] * len(flat), pa.string()),
    ]
    return pa.table(columns, schema=members_schema(classes))


def embeddings_schema(width: int) -> pa.Schema:
    """The `embeddings` table: one row per track and backbone, the penultimate vector as a fixed-size list."""
    vector = pa.list_(pa.field("item", pa.float32()), width)
    return _described([("track", pa.string()), ("backbone", pa.string()), ("embedding", vector), ("run", pa.string())])


def embeddings_table(
    tracks: Sequence[str], embeddings: Sequence[np.ndarray], names: Sequence[str], run: str
) -> pa.Table:
    """The `embeddings` rows of answered recordings, in the order of `members_table`.

    Args:
        embeddings: one float32 ``[B, E]`` per backbone, E the same for all.
    """
    flat = np.concatenate(embeddings).astype(np.float32)
    columns = [
        pa.array(list(tracks) * len(names), pa.string()),
        pa.array([name for name in names for _ in tracks], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1]),
        pa.array([run] * len(flat), pa.string()),
    ]
    return pa.table(columns, schema=embeddings_schema(flat.shape[1]))


def windows_schema(classes: Sequence[str]) -> pa.Schema:
    """The `windows` table: one row per track and window that was scored."""
    answers = ["algorithm", "algorithm_name", "confidence", *(f"p_{c}" for c in classes), "unknown_score", "run"]
    places = [("track", pa.string()), ("window", pa.int32()), ("start_s", pa.float32()), ("end_s", pa.float32())]
    whole = schema(classes)
    return _described([*places, *((name, whole.field(name).type) for name in answers)])


def windows_table(units: pa.Table, seconds: float, classes: Sequence[str]) -> pa.Table:
    """The `windows` rows of staged units (a `predictions` table with `window` and `start_s`)."""
    ok = units.filter(pc.equal(units.column("status"), "ok"))
    start, length = ok.column("start_s"), pa.scalar(seconds, pa.float32())
    # Only a recording that is shorter than a window has one of another length.
    first = pc.min_element_wise(length, ok.column("duration_s"))
    ok = ok.append_column("end_s", pc.if_else(pc.equal(start, 0), first, pc.add(start, length)))
    want = windows_schema(classes)
    return ok.select(want.names).cast(want)


def table_schemas(classes: Sequence[str], width: int) -> dict[str, pa.Schema]:
    """Every table that `predict` can publish, by the name of its folder."""
    return {
        "predictions": schema(classes),
        "members": members_schema(classes),
        "embeddings": embeddings_schema(width),
        "windows": windows_schema(classes),
    }


def read(path: str) -> pa.Table:
    """A finished `predictions` table: a Parquet file or the output folder of `predict`."""
    below = storage.join(path, "predictions")
    return storage.read_table(below if storage.is_dir(below) else path)


def write_answer(folder: str, predictions: pa.Table) -> str:
    """Write the competition's `answer.txt` (`track,algorithm`, no header) and `answer.zip`; returns the zip's path.

    A track without an answer is left out, as no class would be true of it.
    """
    answered = predictions.filter(pc.is_valid(predictions.column("algorithm"))).sort_by("track")
    lines = [
        f"{track},{algorithm}\n"
        for track, algorithm in zip(
            answered.column("track").to_pylist(), answered.column("algorithm").to_pylist(), strict=True
        )
    ]
    text = "".join(lines)
    storage.write_text(storage.join(folder, "answer.txt"), text)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date keeps the archive equal from run to run.
        archive.writestr(zipfile.ZipInfo("answer.txt", (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    target = storage.join(folder, "answer.zip")
    storage.write_bytes(target, packed.getvalue())
    return target
