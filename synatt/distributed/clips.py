"""Ray Data decodes the recordings to train on into a clip store, once for everything that trains on them."""

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass

from synatt import storage
from synatt.clipstore import ClipStore, Shard, plan_shards, store_shard
from synatt.distributed.streams import run_tasks
from synatt.manifest import Manifest
from synatt.outliers import COPY

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class Clips:
    """A clip store by place and shard names, small enough to send to workers."""

    folder: str
    shards: tuple[str, ...]

    def open(self) -> ClipStore:
        cache = os.path.join(tempfile.gettempdir(), "synatt-clips")
        return ClipStore(self.folder, self.shards, cache)

    def digest(self) -> str:
        """12 hex digits that stand for the recordings: their keys, places, sizes and times."""
        return hashlib.sha256("".join(self.shards).encode()).hexdigest()[:12]


def store_clips(rows: Manifest, read_s: float, folder: str) -> Clips:
    """Decode all recordings of `rows` into `folder`, as Ray Data tasks; shards that are there are kept."""
    folder = storage.absolute(folder)
    copies = rows.column(COPY) if COPY in rows.table.column_names else ()
    paths = [storage.absolute(path) for path in rows.column("path")]
    shards = plan_shards(rows.column("track"), paths, copies=copies)
    storage.make_dirs(folder)
    log.info("%d recordings to train on: each is decoded once, into %s", len(rows), storage.shown(folder))

    def store(item: tuple[int, Shard]) -> str:
        return f"{item[0]:08d} {store_shard(folder, item[1], read_s)}"

    # Results come in no order.
    named = sorted(run_tasks(store, list(enumerate(shards)), "decoding"))
    return Clips(folder, tuple(line.partition(" ")[2] for line in named))
