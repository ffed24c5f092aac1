"""What every peer is given: files of speech and the log-mel that is wanted of each."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ = 16_000
N_FFT = 2048
TOP_DB = 80.0
BATCH = 32


@dataclass(frozen=True)
class Work:
    """Files, and the settings of their log-mels.

    Attributes:
        paths: 16-bit mono wav files at 16 kHz.
        seconds: of the clip: the start of the recording, zeros after its end.
        workers: processes or threads that a peer may use.
    """

    paths: tuple[str, ...]
    seconds: float
    mel_bins: int
    frames: int
    workers: int

    @property
    def samples(self) -> int:
        return round(self.seconds * RATE_HZ)

    @property
    def hop(self) -> int:
        return self.samples // (self.frames - 1)

    @property
    def padded(self) -> int:
        """Samples that all frames take together."""
        return (self.frames - 1) * self.hop + N_FFT

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> "Work":
        values: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**values, "paths": tuple(values["paths"])})


def chunks(paths: tuple[str, ...], size: int = BATCH) -> list[tuple[str, ...]]:
    return [paths[i : i + size] for i in range(0, len(paths), size)]


def by_pool(
    work: Work,
    set_up: Callable[[Work], None],
    batch: Callable[[tuple[str, ...]], Any],
    context: Callable[[str], Any] = get_context,
) -> Iterator[Any]:
    """What `batch` makes of the files, in processes that were started anew; first, once they stand, an empty array.

    Args:
        context: torch's own where batches are tensors, which then come back through shared memory.
    """
    with context("spawn").Pool(work.workers, set_up, (work,)) as made:
        made.map(batch, [work.paths[:1]] * work.workers, chunksize=1)
        yield np.empty(0)
        yield from stacked(made.imap(batch, chunks(work.paths)))


def stacked(parts: Iterator[Any]) -> Iterator[Any]:
    """Single log-mels of batches ``[B, M, T]``."""
    for part in parts:
        yield from part
