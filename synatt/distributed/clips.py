"""Ray Data decodes the recordings to train on into a clip store, once for everything that trains on them."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synatt import storage
from synatt.clipstore import ClipStore, Shard, plan_shards, store_shard
from synatt.distributed.streams import run_tasks
from synatt.manifest import Manifest
from synatt.outliers import COPY
from synatt.takes import Take, store_takes

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class Clips:
    """A clip store by place and names of its files, small enough to send to workers.

    Attributes:
        shards: files of recordings.
        takes: files of their takes.
    """

    folder: str
    shards: tuple[str, ...]
    takes: tuple[str, ...] = ()

    def open(self) -> ClipStore:
        return ClipStore(self.folder, (*self.shards, *self.takes), _cache())

    def digest(self) -> str:
        """12 hex digits that stand for the recordings: their keys, places, sizes and times."""
        return hashlib.sha256("".join(self.shards).encode()).hexdigest()[:12]


def _cache() -> str:
    # Of each machine's own.
    return os.path.join(tempfile.gettempdir(), "synatt-clips")


def store_clips(rows: Manifest, read_s: float, folder: str, takes: Sequence[Take] = ()) -> Clips:
    """Decode all recordings of `rows` into `folder` and make their takes, as Ray Data tasks; what is there is kept."""
    folder = storage.absolute(folder)
    copies = rows.column(COPY) if COPY in rows.table.column_names else ()
    paths = [storage.absolute(path) for path in rows.column("path")]
    shards = plan_shards(rows.column("track"), paths, copies=copies)
    storage.make_dirs(folder)
    done = "decoded and perturbed" if takes else "decoded"
    log.info("%d recordings to train on: each is %s once, into %s", len(rows), done, storage.shown(folder))

    def store(item: tuple[int, Shard]) -> dict[str, Any]:
        number, shard = item
        name = store_shard(folder, shard, read_s)
        return {"number": number, "names": [name, *store_takes(folder, name, shard, takes, _cache())]}

    # Results come in no order.
    results = run_tasks(store, list(enumerate(shards)), "decoding and perturbing" if takes else "decoding")
    named = [result["names"] for result in sorted(results, key=lambda result: int(result["number"]))]
    return Clips(folder, tuple(name for name, *_ in named), tuple(take for _, *made in named for take in made))
