"""The `perturb` job: recordings -> perturbed copies as FLAC files, and a manifest that says what was done to each.

Shards of rows are rendered apart; each leaves a record below `_done`, named by all that decides its result, so that
the same command does only what is missing and another one does not mistake old files for its own.
"""

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from synatt import manifest, storage
from synatt.audio import AudioError, load_audio
from synatt.errors import WorkError
from synatt.flac import flac
from synatt.manifest import PROBLEMS, Manifest
from synatt.perturb import KINDS, LEVELS, Materials, check_kinds, check_levels, perturb
from synatt.perturb.materials import NOTHING, some

log = logging.getLogger("synatt")

SHARD_ROWS = 32
# What is longer is cut: test sets are made of utterances.
READ_S = 600.0
ADDED = ("original", "perturbation", "kind", "parameters")

Mapper = Callable[[Callable[[Any], Any], list[Any], str], list[Any]]


@dataclass(frozen=True)
class Plan:
    """What is done to every row.

    Attributes:
        levels: each gives one perturbed recording a row.
        kinds: what may be drawn, see `synatt.perturb`.
        materials: noises, rooms, and speech for babble.
        seed: fixes, with a row's track and the level, what is drawn.
        speech: folder of the FLAC files.
    """

    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    materials: Materials
    seed: int
    speech: str


def perturb_rows(
    rows: Manifest,
    output: str,
    levels: Sequence[str],
    mapper: Mapper,
    *,
    kinds: Sequence[str] = KINDS,
    materials: Materials = NOTHING,
    seed: int = 0,
) -> str:
    """Write `output`/speech/<level>/*.flac (16 kHz, mono, 16 bit), `output`/manifest.parquet and problems.parquet.

    The manifest has a row for every recording and level, called `<level>/<track>`, with the columns of its original
    and `original`, `perturbation` (the level), `kind` and `parameters` (JSON). Recordings that cannot be read stand
    in problems.parquet.

    Args:
        mapper: applies a picklable function to a list of items, in any order.
        materials: without speech of its own, babble is made of `rows` themselves (evenly drawn ones, a thousand at
            most), and what a clip is mixed with depends on what else there is.

    Returns:
        the manifest's path.

    Raises:
        UsageError: a level, a kind or a material cannot be used.
        WorkError: no row could be perturbed.
    """
    speech = storage.join(storage.absolute(output), "speech")
    tracks, paths = rows.column("track"), [storage.absolute(p) for p in rows.column("path")]
    if not materials.speech:
        materials = replace(materials, speech=some(paths))
    plan = Plan(check_levels(levels), check_kinds(kinds), materials, seed, speech)
    # Workers run in other folders.
    done = storage.join(storage.absolute(output), "_done")
    for folder in [done, *(storage.join(speech, level) for level in plan.levels)]:
        storage.make_dirs(folder)
    shards = [
        list(zip(tracks[i : i + SHARD_ROWS], paths[i : i + SHARD_ROWS], strict=True))
        for i in range(0, len(tracks), SHARD_ROWS)
    ]
    settings = json.dumps(asdict(plan))
    records = [storage.join(done, f"{_digest(settings, shard)}.json") for shard in shards]
    todo = [(shard, record) for shard, record in zip(shards, records, strict=True) if not storage.is_file(record)]
    count = len(rows) * len(plan.levels)
    log.info("%d recordings x %s: %d of %d shards to do", len(rows), ", ".join(plan.levels), len(todo), len(shards))

    def one(item: tuple[list[tuple[str, str]], str]) -> int:
        made = [result for track, path in item[0] for result in render(track, path, plan)]
        storage.write_json(item[1], {"rows": made})
        return len(made)

    mapper(one, todo, "perturbing")
    made = [row for record in records for row in storage.read_json(record)["rows"]]
    good = [row for row in made if "problem" not in row]
    problems = [row["problem"] for row in made if "problem" in row]
    storage.write_table(storage.join(output, "problems.parquet"), pa.Table.from_pylist(problems, schema=PROBLEMS))
    for line in problems[:5]:
        log.warning("%s: %s (%s)", line["kind"], line["detail"], line["track"])
    if count and not good:
        raise WorkError(f"none of the {len(rows)} recordings could be read; problems.parquet says why for each")
    target = storage.join(output, "manifest.parquet")
    manifest.write(target, _manifest(rows, good))
    log.info("%d recordings written, %d could not be read", len(good), len(problems))
    return target


def render(track: str, path: str, plan: Plan) -> list[dict[str, Any]]:
    """Write the perturbed copies of one recording; what the manifest says of each, or one `problem`."""
    try:
        wave = load_audio(path, READ_S).wave
    except AudioError as err:
        return [{"problem": {"kind": err.kind, "track": track, "path": path, "detail": str(err)}}]
    out = []
    for level in plan.levels:
        rng = np.random.default_rng([plan.seed, zlib.crc32(track.encode()), LEVELS.index(level)])
        changed, kind, parameters = perturb(wave, level, rng, plan.kinds, plan.materials)
        file = storage.join(plan.speech, level, file_name(track))
        storage.write_bytes(file, flac(changed))
        done = {"perturbation": level, "kind": kind, "parameters": json.dumps(parameters)}
        out.append({"track": f"{level}/{track}", "path": file, "original": track, **done})
    return out


def file_name(track: str) -> str:
    """A file's name for any track: what is readable in it, and a checksum that keeps names apart."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", track.rpartition("/")[2].rpartition(".")[0] or track)[-60:]
    return f"{readable}-{hashlib.sha256(track.encode()).hexdigest()[:10]}.flac"


def _manifest(rows: Manifest, made: list[dict[str, Any]]) -> Manifest:
    """The rows of `made` with what the manifest says of their originals, in the order of levels and rows."""
    where = {track: i for i, track in enumerate(rows.column("track"))}
    made = sorted(made, key=lambda row: (LEVELS.index(row["perturbation"]), where[row["original"]]))
    table = rows.table.take(pa.array([where[row["original"]] for row in made], pa.int64()))
    for name in ("track", "path", *ADDED):
        values = pa.array([row[name] for row in made], pa.string())
        table = (
            table.set_column(table.column_names.index(name), name, values)
            if name in table.column_names
            else table.append_column(name, values)
        )
    return manifest.build(table.replace_schema_metadata(None), rows.classes)


def _digest(settings: str, shard: list[tuple[str, str]]) -> str:
    text = json.dumps([settings, shard, storage.versions([path for _, path in shard])])
    return hashlib.sha256(text.encode()).hexdigest()[:20]
