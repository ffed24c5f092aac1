"""A recording as bytes, path or URI -> float32 mono samples at 16 kHz, or an `AudioError` that says what is wrong.

numpy, libsndfile (soundfile), libsoxr and pyarrow only, so that a decode worker starts fast.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from synatt.audioerrors import (
    AudioCorruptError,
    AudioEmptyFileError,
    AudioError,
    AudioFormatError,
    AudioLimitError,
    AudioMissingError,
    AudioNoSamplesError,
    AudioNotFiniteError,
    AudioSilentError,
    AudioTruncatedError,
    AudioUnreachableError,
)
from synatt.constants import RATE_HZ
from synatt.recording import finite_range, open_recording

__all__ = [
    "AUDIO_SUFFIXES",
    "Audio",
    "AudioCorruptError",
    "AudioEmptyFileError",
    "AudioError",
    "AudioFormatError",
    "AudioLimitError",
    "AudioMissingError",
    "AudioNoSamplesError",
    "AudioNotFiniteError",
    "AudioSilentError",
    "AudioTruncatedError",
    "AudioUnreachableError",
    "decode",
    "from_array",
    "load_audio",
]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")


@dataclass(frozen=True)
class Audio:
    """Decoded speech and what the file said of itself.

    Attributes:
        wave: float32 ``[S]`` at 16 kHz, full scale 1.0, at most the first `read_s` seconds.
        duration_s: length of the whole recording; None if a longer one does not tell (a streamed FLAC).
        sample_rate_hz: rate found in the file.
        channels: channels found in the file.
    """

    wave: np.ndarray
    duration_s: float | None
    sample_rate_hz: int
    channels: int


def load_audio(path: str, read_s: float = 60.0) -> Audio:
    """Decode the first `read_s` seconds of the recording at a local path or URI.

    Only the needed part is read (and fetched, from a bucket): an hour-long file costs as much as a minute.

    Raises:
        AudioError: a subclass for each way a recording can be bad.
    """
    return decode(path, read_s)


def decode(source: "str | bytes | BinaryIO", read_s: float = 60.0) -> Audio:
    """Decode the first `read_s` seconds of a local path or URI, of bytes or of a seekable binary file.

    Channels are averaged; other rates are resampled by libsoxr's band-limited HQ filter.

    Raises:
        AudioError: a subclass for each way a recording can be bad.
    """
    with open_recording(source, read_s) as recording:
        blocks = list(recording)
        wave = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return Audio(wave, recording.duration_s, recording.sample_rate_hz, recording.channels)


def from_array(wave: np.ndarray) -> Audio:
    """An array that is already float ``[S]`` at 16 kHz, checked like a file.

    Raises:
        AudioError: it has another shape or type, is empty, constant or not finite.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
        raise AudioFormatError(f"want a float array [samples] at 16 kHz, got {wave.dtype} {list(wave.shape)}")
    if not len(wave):
        raise AudioNoSamplesError("the array has no samples")
    low, high = finite_range(wave, len(wave))
    if low == high:
        raise AudioSilentError(f"all {len(wave)} samples are equal: there is no speech in it")
    return Audio(np.ascontiguousarray(wave, dtype=np.float32), len(wave) / RATE_HZ, RATE_HZ, 1)
