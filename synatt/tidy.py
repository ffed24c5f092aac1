"""Frames and rows as plain JSON values, and as Arrow tables whose schema does not depend on the data."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

TEXT_COLUMNS = frozenset(
    {
        "answer",
        "class",
        "column",
        "error",
        "example",
        "example_track",
        "examples",
        "family",
        "flagged",
        "generator",
        "half",
        "kind",
        "path",
        "reason",
        "rows",
        "second",
        "track",
        "truth",
        "value",
        "wrong_answer",
    }
)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row of a frame as `plain` values."""
    return [plain(row) for row in frame.to_dict("records")]


def plain(row: dict[Any, Any]) -> dict[str, Any]:
    """Python numbers; what is not finite becomes null."""
    out = {}
    for name, found in row.items():
        value = found.item() if isinstance(found, np.generic) else found
        out[str(name)] = None if isinstance(value, float) and not np.isfinite(value) else value
    return out


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame` as Arrow: text where `TEXT_COLUMNS` says so, int64 counts (`n`, `n_...`) and integers, else float64."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    # A column without a single value has no type of its own; the schema must not depend on the data.
    return table.cast(pa.schema([_field(field) for field in table.schema]))


def _field(field: pa.Field) -> pa.Field:
    if field.name in TEXT_COLUMNS:
        return field.with_type(pa.string())
    counts = field.name == "n" or field.name.startswith("n_")
    return field.with_type(pa.int64() if counts or pa.types.is_integer(field.type) else pa.float64())
