"""A long recording as overlapping windows, decoded as they are taken: memory does not grow with its length."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from synatt.audioerrors import AudioLimitError
from synatt.constants import RATE_HZ
from synatt.errors import UsageError
from synatt.held import reading
from synatt.recording import Recording, open_recording

DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Window:
    """A part of a recording.

    Attributes:
        start_s: where it starts in the recording.
        wave: float32 ``[S]`` at 16 kHz, mono, full scale 1.0.
    """

    start_s: float
    wave: np.ndarray


class LongAudio:
    """An open recording; iterated once, it gives its windows in order.

    Windows start every `hop_s`; if the last of them does not reach the end, one more does that ends there. They cover
    every sample. All have the same length, but for the only window of a recording that is shorter than one.
    A silent window is a window like any other; that the whole recording is silent shows at its end.

    Attributes:
        duration_s: length of the whole recording; None if the file does not tell and its end was not reached yet.
        sample_rate_hz: rate found in the file.
        channels: channels found in the file.
    """

    def __init__(self, recording: Recording, length: int, hop: int, limit_s: float) -> None:
        self._recording, self._length, self._hop, self._limit_s = recording, length, hop, limit_s
        self.sample_rate_hz, self.channels = recording.sample_rate_hz, recording.channels

    @property
    def duration_s(self) -> float | None:
        return self._recording.duration_s

    def __iter__(self) -> Iterator[Window]:
        """The windows.

        Raises:
            AudioError: what is wrong where decoding has got to; the windows before it are sound.
        """
        for start, wave in _cut(self._blocks(), self._length, self._hop):
            yield Window(start / RATE_HZ, wave)

    def _blocks(self) -> Iterator[np.ndarray]:
        yield from self._recording
        if self.duration_s is None:
            raise AudioLimitError(f"it goes on after the {self._limit_s:.0f} s that are accepted in windows")


@contextmanager
def open_windows(
    source: "str | bytes | BinaryIO", seconds: float, hop_s: float, limit_s: float = DAY_S
) -> Iterator[LongAudio]:
    """Open a local path or URI, bytes or a seekable binary file, to go through it in windows.

    Args:
        seconds: length of a window.
        hop_s: from the start of a window to the start of the next; at most `seconds`.
        limit_s: longer recordings are refused, by their header where it tells their length.

    Raises:
        AudioError: the file or its header is bad; on leaving, where storage stopped answering half way.
        UsageError: windows of these lengths would leave something out.
    """
    length, hop = round(seconds * RATE_HZ), round(hop_s * RATE_HZ)
    if not 0 < hop <= length:
        raise UsageError(
            f"windows of {seconds:g} s cannot start every {hop_s:g} s: want more than 0, at most {seconds:g} s"
        )
    with reading(source), open_recording(source, limit_s) as recording:
        if recording.duration_s is not None and recording.duration_s > limit_s:
            raise AudioLimitError(
                f"header claims {recording.duration_s:.0f} s; at most {limit_s:.0f} s are accepted in windows"
            )
        yield LongAudio(recording, length, hop, limit_s)


def _cut(blocks: Iterable[np.ndarray], length: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, float32 ``[length]``) of every window of a signal that comes in blocks ``[S]``."""
    held, first, start = np.empty(0, np.float32), 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        while start + length <= first + len(held):
            yield start, held[start - first : start - first + length].copy()
            start += hop
        # The next window starts at `start`; if the signal ends before that window does, the last one starts earlier.
        done = max(0, min(start, first + len(held) - length) - first)
        held, first = held[done:], first + done
    end = first + len(held)
    if end > start - hop + length or not start:
        begin = max(0, end - length)
        yield begin, held[begin - first :].copy()
