"""The work of a prediction run, on storage: one row per recording, cut into shards, read by the workers themselves.

Inputs arrive as a stream of rows and leave memory at once. They are written as segments, Arrow IPC files with one
record batch per shard, so that a worker fetches its own shard and nothing else, and so that the driver never holds
more than the shard at hand. Rows keep their order; a row is known by its position.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import storage
from synatt.errors import UsageError

# `track` key; `path` as tables and logs show it (never a secret); `source` of the manifest, null where not known;
# `location` what is opened; `held` null for a file of its own, else the kind of container that `location` is; `at` and
# `size`: byte offset and bytes of a member of a tar, or row number in a Parquet file (size null).
SCHEMA = pa.schema(
    [
        ("track", pa.string()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("location", pa.string()),
        ("held", pa.string()),
        ("at", pa.int64()),
        ("size", pa.int64()),
    ]
)

# Rows of a segment: one execution of Ray Data, one file of the finished table. At some 90 bytes a row that file has
# 128 to 512 MB, and the cost of an execution's start is spread over minutes.
SEGMENT_ROWS = 1 << 21
# Rows of a shard, the unit that is retried: some seconds of work for one core.
MAX_SHARD_ROWS, MIN_SHARD_ROWS = 256, 8
# Rows that are decoded together because they lie together (a row group of Parquet) stay in one shard up to this many.
MAX_TOGETHER_ROWS = 4096
PLACES = 256


@dataclass(frozen=True)
class Rows:
    """A run of input rows in `SCHEMA`; `together`: they share one read (a Parquet row group), so keep them in a shard."""

    batch: pa.RecordBatch
    together: bool = False
