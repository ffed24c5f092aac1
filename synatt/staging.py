"""Recordings -> log-mels of every view, one decode each, and what became of each recording.

A *unit* is what the models score: a recording, or one window of a long one. A shard of the worklist becomes a stream of
units, in blocks of bounded size; what failed is a unit too, with its error and no log-mel.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from synatt.audio import Audio, AudioError, AudioSilentError, decode, from_array, load_audio
from synatt.constants import RATE_HZ
from synatt.ensemble import EnsemblePlan, logmel_crops
from synatt.held import Source, opened, reading
from synatt.predictions import Outcome
from synatt.recipe import Recipe
from synatt.windows import Window, open_windows

# Log-mels of a block; small enough that a worker holds little, large enough that a block's overhead is nothing.
BLOCK_BYTES = 16 << 20
MAX_BLOCK_UNITS = 256


@dataclass(frozen=True)
class Windows:
    """Score a recording as a whole, window by window.

    Attributes:
        hop: distance of two windows as a share of their length.
        limit_s: longer recordings are refused.
    """

    hop: float = 0.5
    limit_s: float = 24 * 3600.0


@dataclass
class Units:
    """A block of units of one shard.

    Attributes:
        first: number of the first unit within the shard.
        last: the shard has no unit after these.
        row: int32 ``[U]``, row within the shard.
        window: int32 ``[U]``, number of the window within its recording; 0 where recordings are not windowed.
        start_s: float32 ``[U]``, where the window starts.
        outcomes: one per unit.
        logmels: for each view key float32 ``[U, K, M, T]``; zero where the unit failed.
        decode_s, logmel_s: float32 ``[U]``, seconds of work.
    """

    first: int
    last: bool
    row: np.ndarray
    window: np.ndarray
    start_s: np.ndarray
    outcomes: list[Outcome]
    logmels: dict[str, np.ndarray]
    decode_s: np.ndarray
    logmel_s: np.ndarray

    @property
    def tracks(self) -> list[str]:
        """The track of each unit."""
        return [outcome.track for outcome in self.outcomes]


@dataclass(frozen=True)
class Unit:
    """One unit; attributes as in `Units`, `logmels` None where it failed."""

    row: int
    window: int
    start_s: float
    outcome: Outcome
    logmels: dict[str, np.ndarray] | None
    decode_s: float
    logmel_s: float

    @classmethod
    def failed(cls, row: int, window: int, outcome: Outcome, decode_s: float = 0.0) -> "Unit":
        return cls(row, window, 0.0, outcome, None, decode_s, 0.0)


def stage_shard(shard: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None = None) -> Iterator[Units]:
    """The units of a shard of the worklist, in blocks; containers are opened once for all their rows."""
    yield from in_blocks(itertools.chain.from_iterable(units_by_row(shard, plan, windows)), plan)


def stage(
    tracks: Sequence[str], sources: "Sequence[str | np.ndarray]", plan: EnsemblePlan, windows: Windows | None = None
) -> Units:
    """All units of some recordings as one block.

    Args:
        sources: paths, URIs or float arrays ``[S]`` at 16 kHz, one per track.
    """
    units = [
        unit
        for row, (track, source) in enumerate(zip(tracks, sources, strict=True))
        for unit in _row_units(row, track, source if isinstance(source, str) else "", source, plan, windows)
    ]
    return _block(units, 0, True, plan)


def units_by_row(shard: pa.RecordBatch, plan: EnsemblePlan, windows: Windows | None = None) -> Iterator[Iterator[Unit]]:
    """For each row of a shard its units; a row's have to be taken before the next row's."""
    names = zip(shard.column("track").to_pylist(), shard.column("path").to_pylist(), opened(shard), strict=True)
    for row, (track, path, source) in enumerate(names):
        yield _row_units(row, track, path, source, plan, windows)


def in_blocks(units: Iterable[Unit], plan: EnsemblePlan) -> Iterator[Units]:
    """Units of one shard -> blocks; the same units are always cut at the same places."""
    most = max(1, min(MAX_BLOCK_UNITS, BLOCK_BYTES // unit_bytes(plan)))
    held: list[Unit] = []
    done = 0
    for unit in units:
        if len(held) == most:
            yield _block(held, done, False, plan)
            done, held = done + len(held), []
        held.append(unit)
    yield _block(held, done, True, plan)


def _block(units: list[Unit], first: int, last: bool, plan: EnsemblePlan) -> Units:
    logmels = {view.key: np.zeros((len(units), *_shape(view.recipe)), np.float32) for view in plan.views}
    for i, unit in enumerate(units):
        for key, values in (unit.logmels or {}).items():
            logmels[key][i] = values
    return Units(
        first,
        last,
        np.array([u.row for u in units], np.int32),
        np.array([u.window for u in units], np.int32),
        np.array([u.start_s for u in units], np.float32),
        [u.outcome for u in units],
        logmels,
        np.array([u.decode_s for u in units], np.float32),
        np.array([u.logmel_s for u in units], np.float32),
    )


def _row_units(
    row: int, track: str, path: str, source: "Source | np.ndarray", plan: EnsemblePlan, windows: Windows | None
) -> Iterator[Unit]:
    """The units of one recording; one that fails, or fails half way, ends in a unit that carries the error."""
    known, count, clock = Outcome(track, path), 0, _Clock()
    try:
        for known, audio, start_s in _decoded(Outcome(track, path), source, plan, windows):
            decode_s = clock.lap()
            logmels = {view.key: logmel_crops(audio, view) for view in plan.views}
            yield Unit(row, count, start_s, known, logmels, decode_s, clock.lap())
            # What passed since then was the time of whoever took the unit.
            clock.lap()
            count += 1
        if not count:
            raise AudioSilentError("every window is silent: there is no speech in it")
    except AudioError as err:
        yield Unit.failed(row, count, replace(known, error=f"{err.kind}: {err}"), clock.lap())
    except Exception as err:
        # Whatever a hostile file provokes costs its own row only; the type says where to look.
        said = f"unexpected: {type(err).__name__}: {' '.join(str(err).split())[:300]}"
        yield Unit.failed(row, count, replace(known, error=said), clock.lap())


def _decoded(
    outcome: Outcome, source: "Source | np.ndarray", plan: EnsemblePlan, windows: Windows | None
) -> Iterator[tuple[Outcome, Audio, float]]:
    """(outcome with the file's facts, audio, start in seconds) of a recording, or of each of its windows."""
    if isinstance(source, AudioError):
        raise source
    if windows is None or isinstance(source, np.ndarray):
        with reading(source):
            audio = _audio(source, plan.read_s)
        yield replace(outcome, duration_s=audio.duration_s, sample_rate_hz=audio.sample_rate_hz), audio, 0.0
        return
    seconds = plan.window_s
    with open_windows(source, seconds, seconds * windows.hop, windows.limit_s) as long:
        for window in _spoken(long):
            known = replace(outcome, duration_s=long.duration_s, sample_rate_hz=long.sample_rate_hz)
            yield known, Audio(window.wave, len(window.wave) / RATE_HZ, long.sample_rate_hz, 1), window.start_s


def _spoken(windows: Iterable[Window]) -> Iterator[Window]:
    """The windows that are not silent; the last one comes once all were read, as some files tell their length then."""
    held: Window | None = None
    failure: Exception | None = None
    try:
        for window in windows:
            # Digital silence between two speakers says nothing of either.
            if window.wave.min() == window.wave.max():
                continue
            if held:
                yield held
            held = window
    except Exception as err:
        failure = err
    if held:
        yield held
    if failure:
        raise failure


def _audio(source: "str | bytes | BinaryIO | np.ndarray", read_s: float) -> Audio:
    if isinstance(source, np.ndarray):
        return from_array(source)
    return load_audio(source, read_s) if isinstance(source, str) else decode(source, read_s)


class _Clock:
    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last call."""
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        return passed


def _shape(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.predict.crops, *recipe.feature_shape


def unit_bytes(plan: EnsemblePlan) -> int:
    """Bytes of log-mels per unit."""
    return sum(int(np.prod(_shape(view.recipe))) * 4 for view in plan.views)
