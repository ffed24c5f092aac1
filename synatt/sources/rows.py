"""What all kinds of input share: columns -> `Rows`, and names that need no look at what they name."""

from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from synatt import storage
from synatt.worklist import SCHEMA, Rows

# Rows of a batch of loose files: a few MB at a time.
BATCH_ROWS = 16_384

Column: TypeAlias = pa.Array | Sequence[str | None] | Sequence[int | None]


def make_rows(
    track: Column,
    location: Column | str,
    path: Column | None = None,
    source: Column | None = None,
    held: str | None = None,
    at: Column | None = None,
    size: Column | None = None,
    together: bool = False,
) -> Rows:
    """Rows of `SCHEMA` from columns.

    Args:
        location: one per row, or one container for all of them.
        path: how `location` is shown, where that is not simply without its secrets.
        source, held, at, size: null where not given.
    """
    n = len(track)
    opened = pa.repeat(location, n) if isinstance(location, str) else pa.array(location, pa.string())
    given = {
        "track": track,
        "path": shown_paths(opened) if path is None else path,
        "source": source,
        "location": opened,
        "held": None if held is None else pa.repeat(held, n),
        "at": at,
        "size": size,
    }
    columns = [pa.nulls(n, f.type) if given[f.name] is None else pa.array(given[f.name], f.type) for f in SCHEMA]
    return Rows(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), together)


def shown_paths(paths: pa.StringArray) -> pa.StringArray:
    """`storage.shown` of every path."""
    # Secrets stand before an '@', behind a '?' or behind a second colon: without these a path is shown as it is,
    # which spares nearly all of millions of rows a look of their own.
    suspect = pc.match_substring_regex(paths, r"(?s)[?@]|:.*:")
    if not pc.any(suspect).as_py():
        return paths
    cleaned = pa.array([storage.shown(path) for path in paths.filter(suspect).to_pylist()], pa.string())
    return pc.replace_with_mask(paths, suspect, cleaned)


def inner_path(path: str) -> str:
    """`path` without scheme and query: what its suffix and file name are read from."""
    return storage.filesystem(path)[1]


def file_name(path: str) -> str:
    return inner_path(path).rpartition("/")[2]
