"""Decoded training audio, read from storage once and kept as Arrow files: int16 samples at 16 kHz, memory-mapped.

Folds, epochs, backbones and both training stages read the same store, so a recording is decoded once for all of them.
A shard holds a fixed run of manifest rows. It is named by them, by size and time of their files and by the recipe's
audio settings: a finished shard is never made again, and a recording that was replaced is.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from synatt import storage
from synatt.audio import AudioError, load_audio
from synatt.outliers import CopyError, make_copy

SHARD_ROWS = 128
SCHEMA = pa.schema([("track", pa.string()), ("wave", pa.binary())])


@dataclass(frozen=True)
class Shard:
    """A run of manifest rows whose samples will stand in one Arrow file."""

    tracks: tuple[str, ...]
    paths: tuple[str, ...]
    copies: tuple[str | None, ...] = ()


def plan_shards(
    tracks: Sequence[str], paths: Sequence[str], rows: int = SHARD_ROWS, copies: Sequence[str | None] = ()
) -> list[Shard]:
    """Split manifest rows into shards; `copies` names for each row the vocoder its recording goes through, if any."""
    copies = copies if any(copies) else ()
    parts = [slice(start, start + rows) for start in range(0, len(tracks), rows)]
    return [Shard(tuple(tracks[part]), tuple(paths[part]), tuple(copies[part])) for part in parts]


def shard_name(shard: Shard, read_s: float) -> str:
    """File name of a shard: a digest of its rows, of its files' sizes and times, and of the audio settings."""
    content: list[object] = [shard.tracks, shard.paths, storage.versions(shard.paths), read_s]
    content += [shard.copies] if any(shard.copies) else []
    return f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]}.arrow"


def store_shard(folder: str, shard: Shard, read_s: float) -> str:
    """Write the shard's file into `folder` unless it is there already, and return its name."""
    name = shard_name(shard, read_s)
    if not storage.is_file(storage.join(folder, name)):
        write_shard(storage.join(folder, name), shard, read_s)
    return name


def to_int16(wave: np.ndarray) -> np.ndarray:
    """int16 ``[S]``: exact where the samples are 16-bit PCM, else scaled to full range.

    Scaling loses nothing that training sees, since every recording is brought to unit deviation first.
    """
    exact = wave * np.float32(32768)
    if np.array_equal(exact, np.rint(exact)) and exact.max() <= 32767 and exact.min() >= -32768:
        return exact.astype(np.int16)
    return np.rint(wave * (32767 / np.abs(wave).max())).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """float32 ``[S]``, full scale 1."""
    return samples.astype(np.float32) / np.float32(32768)


def write_shard(file: str, shard: Shard, read_s: float) -> None:
    """Decode the recordings of `shard` into `file`; in place of those that cannot be used it says why."""
    tracks, waves, problems = [], [], []
    copies = shard.copies or (None,) * len(shard.tracks)
    for track, path, copy in zip(shard.tracks, shard.paths, copies, strict=True):
        try:
            wave = load_audio(path, read_s).wave
            waves.append(to_int16(make_copy(copy, wave, track) if copy else wave).tobytes())
            tracks.append(track)
        except (AudioError, CopyError) as err:
            problems.append({"kind": err.kind, "track": track, "path": path, "detail": str(err)})
    write_waves(file, tracks, waves, problems)


def write_waves(file: str, tracks: list[str], waves: list[bytes], problems: list[dict[str, str]]) -> None:
    """Write samples by track (int16, as bytes), and what became of others, as a file that `ClipStore` reads."""
    table = pa.table({"track": tracks, "wave": waves}, schema=SCHEMA)
    # The problems travel with the shard, so that a resumed run still reports them.
    table = table.replace_schema_metadata({"problems": json.dumps(problems)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    storage.write_bytes(file, sink.getvalue())


class ClipStore:
    """Random access to the decoded recordings of some shards, and to what is kept beside them (`synatt.takes`).

    Args:
        folder: where the shards lie; a bucket's shards are copied below `cache` first.
        names: the shard files that belong to this store.
    """

    def __init__(self, folder: str, names: Iterable[str], cache: str | None = None) -> None:
        self.folder, self.names = folder, list(names)
        self._columns: list[pa.Array] = []
        self._place: dict[str, tuple[int, int]] = {}
        self.problems: list[dict[str, str]] = []
        for name in self.names:
            reader = pa.ipc.open_file(_mapped(folder, name, cache))
            self.problems += json.loads((reader.schema.metadata or {}).get(b"problems", b"[]"))
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                for row, track in enumerate(batch.column("track").to_pylist()):
                    self._place[track] = (len(self._columns), row)
                self._columns.append(batch.column("wave"))

    def __contains__(self, track: str) -> bool:
        return track in self._place

    def __len__(self) -> int:
        return len(self._place)

    def wave(self, track: str) -> np.ndarray:
        """float32 ``[S]`` at 16 kHz of one recording."""
        column, row = self._place[track]
        return from_int16(np.frombuffer(self._columns[column][row].as_buffer(), dtype=np.int16))


def _mapped(folder: str, name: str, cache: str | None) -> pa.NativeFile:
    path = storage.join(folder, name)
    if storage.is_uri(folder):
        if cache is None:
            raise storage.StorageError(f"{folder}: a local folder is needed to map its shards into memory")
        local = Path(cache) / name
        if not local.exists():
            storage.write_bytes(str(local), storage.read_bytes(path))
        path = str(local)
    return pa.memory_map(path)
