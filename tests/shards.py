"""Shards of a worklist made by hand."""

from collections.abc import Sequence

import pyarrow as pa

from synatt import worklist


def shard_of(
    tracks: Sequence[str], paths: Sequence[str], sources: "Sequence[str | None] | None" = None
) -> pa.RecordBatch:
    """Rows of `worklist.SCHEMA` for recordings that are files of their own."""
    rows = {"track": list(tracks), "path": list(paths), "source": list(sources or [None] * len(tracks))}
    (part,) = worklist.of_table(pa.table({name: pa.array(values, pa.string()) for name, values in rows.items()}))
    return part.batch
