"""What a prediction run keeps between scoring and publishing: one small file per scored block, named by what it holds.

A shard is done when the names of its files cover all its units without a gap, the one with the last unit among them.
A retried block writes the file it would have written before, so nothing can be there twice.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synatt import predictions, storage
from synatt.ensemble import EnsemblePlan, Scores
from synatt.predictions import Outcome
from synatt.staging import Units

UNITS, MEMBERS, EMBEDDINGS = "units", "members", "embeddings"
_NAME = re.compile(r"(\d{6})-(\d{8})-(\d{5})-(\d{5})-(end|more)\.parquet")


@dataclass(frozen=True)
class Name:
    """Name of a staged file: `count` units of a shard from unit `first` on, `rows` recordings; `last`: none follows."""

    shard: int
    first: int
    count: int
    rows: int
    last: bool

    def __str__(self) -> str:
        end = "end" if self.last else "more"
        return f"{self.shard:06d}-{self.first:08d}-{self.count:05d}-{self.rows:05d}-{end}.parquet"

    @classmethod
    def parse(cls, text: str) -> "Name | None":
        found = _NAME.fullmatch(text)
        if not found:
            return None
        shard, first, count, rows = map(int, found.groups()[:4])
        return cls(shard, first, count, rows, found[5] == "end")

    @classmethod
    def of(cls, shard: int, units: Units) -> "Name":
        return cls(shard, units.first, len(units.outcomes), int((units.window == 0).sum()), units.last)


def finished(names: Iterable[str]) -> dict[int, list[Name]]:
    """The shards that are whole, each with its files in the order of their units."""
    shards: dict[int, list[Name]] = {}
    for name in filter(None, map(Name.parse, names)):
        shards.setdefault(name.shard, []).append(name)
    return {shard: chain for shard, found in shards.items() if (chain := _chain(found))}


def finished_in(folder: str) -> dict[int, list[Name]]:
    """The whole shards among the staged files of a segment; none where nothing is staged yet."""
    below = storage.join(folder, UNITS)
    return finished(name for name, _ in storage.list_files(below)) if storage.is_dir(below) else {}


def _chain(names: list[Name]) -> list[Name]:
    """The names that follow one another from unit 0 to the last; empty when there is a gap.

    Blocks of an earlier attempt may have been cut elsewhere; then the longest one from each place on is taken from
    which the end is reached.
    """
    leads_on: dict[int, Name] = {}
    for name in sorted(names, key=lambda n: (n.first, n.count), reverse=True):
        if name.first not in leads_on and (name.last or name.first + name.count in leads_on):
            leads_on[name.first] = name
    chain: list[Name] = []
    while not (chain and chain[-1].last):
        place = chain[-1].first + chain[-1].count if chain else 0
        if place not in leads_on:
            return []
        chain.append(leads_on[place])
    return chain


def tables(units: Units, scores: Scores, plan: EnsemblePlan, run: str, wanted: Iterable[str]) -> dict[str, pa.Table]:
    """The staged tables of a block: `units`, and of `members` and `embeddings` those that are `wanted`."""
    place = {"row": units.row, "window": units.window}
    made = {
        UNITS: _with(
            predictions.table(units.outcomes, scores.mean_BC, plan.classes, run), {**place, "start_s": units.start_s}
        )
    }
    ok = np.array([o.error is None for o in units.outcomes], dtype=bool)
    tracks = [o.track for o in units.outcomes if o.error is None]
    answered = {name: values[ok] for name, values in place.items()}
    for kind in wanted:
        if kind == MEMBERS:
            table = predictions.members_table(tracks, scores.probs_NBC[:, ok], plan.names, plan.classes, run)
        else:
            table = predictions.embeddings_table(tracks, [e[ok] for e in scores.embeddings], plan.names, run)
        # Sorted by backbone, then unit: the places repeat for every backbone.
        made[kind] = _with(table, {name: np.tile(values, len(plan.names)) for name, values in answered.items()})
    return made


def _with(table: pa.Table, columns: dict[str, np.ndarray]) -> pa.Table:
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def without_windows(staged: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The published tables of a shard whose units are its recordings."""
    published = {"predictions" if kind == UNITS else kind: table for kind, table in staged.items()}
    helpers = ("row", "window", "start_s")
    return {
        kind: table.drop_columns([c for c in helpers if c in table.column_names]) for kind, table in published.items()
    }


def over_windows(
    staged: dict[str, pa.Table], classes: Sequence[str], seconds: float, keep_windows: bool
) -> dict[str, pa.Table]:
    """The published tables of a shard whose recordings were scored window by window.

    A recording's probabilities, members and embeddings are the means over its windows; a recording that fails half
    way has an error and none of these, and the windows before it are in the table `windows`.

    Args:
        seconds: length of a window.
        keep_windows: also make the table `windows`.
    """
    units = staged[UNITS].combine_chunks()
    made = {"predictions": _mean_rows(units, classes)}
    if keep_windows:
        made["windows"] = predictions.windows_table(units, seconds, classes)
    answered = made["predictions"].filter(pc.equal(made["predictions"].column("status"), "ok")).column("track")
    if MEMBERS in staged:
        means = _mean_by_backbone(_of(staged[MEMBERS], answered), [f"p_{name}" for name in classes])
        made[MEMBERS] = means.cast(predictions.members_schema(classes))
    if EMBEDDINGS in staged:
        made[EMBEDDINGS] = _mean_embeddings(_of(staged[EMBEDDINGS], answered))
    return made


def _of(table: pa.Table, tracks: pa.ChunkedArray) -> pa.Table:
    return table.filter(pc.is_in(table.column("track"), value_set=tracks))


def _mean_rows(units: pa.Table, classes: Sequence[str]) -> pa.Table:
    row = units.column("row").to_numpy()
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.zeros(0, np.int64)
    # The last unit of a recording tells whether it failed.
    last = np.r_[starts[1:], len(row)] - 1 if len(row) else starts
    ends = units.take(pa.array(last)).to_pylist()
    outcomes = [Outcome(e["track"], e["path"], e["duration_s"], e["sample_rate_hz"], e["error"]) for e in ends]
    p = np.stack([units.column(f"p_{name}").to_numpy() for name in classes], axis=1).astype(np.float64)
    good = np.asarray(np.isfinite(p).all(axis=1))
    sums = np.add.reduceat(np.where(good[:, None], p, 0.0), starts) if len(row) else p
    counts = np.add.reduceat(good.astype(np.int64), starts) if len(row) else good
    means = sums / np.maximum(counts, 1)[:, None]
    run = units.column("run")[0].as_py() if len(row) else ""
    return predictions.table(outcomes, means.astype(np.float32), classes, run)


def _mean_by_backbone(table: pa.Table, columns: list[str]) -> pa.Table:
    keys = ["row", "track", "backbone", "run"]
    means = table.group_by(keys, use_threads=False).aggregate([(name, "mean") for name in columns])
    means = means.rename_columns([name.removesuffix("_mean") for name in means.column_names])
    return means.sort_by("row").select(["track", "backbone", *columns, "run"])


def _mean_embeddings(table: pa.Table) -> pa.Table:
    kind = table.schema.field("embedding").type
    width = kind.list_size
    vectors = table.column("embedding").combine_chunks().flatten().to_numpy().reshape(-1, width)
    flat = table.drop_columns(["embedding"])
    for i in range(width):
        flat = flat.append_column(f"e{i}", pa.array(np.ascontiguousarray(vectors[:, i])))
    means = _mean_by_backbone(flat, [f"e{i}" for i in range(width)])
    values = np.stack([means.column(f"e{i}").to_numpy() for i in range(width)], axis=1).astype(np.float32)
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
    return pa.table(
        [means.column("track"), means.column("backbone"), embedding, means.column("run")],
        schema=predictions.embeddings_schema(width),
    )
