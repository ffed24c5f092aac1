"""A recording as bytes, path or URI -> float32 mono samples at 16 kHz, or an `AudioError` that says what is wrong.

numpy, libsndfile (soundfile) and libsoxr only, so that a decode worker starts fast.
"""

import io
import math
import os
import re
import stat
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr

from synatt import storage
from synatt.errors import SynattError
from synatt.recipe import RATE_HZ

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")

# Bounds on what a header may claim before we believe it (a damaged header can claim anything).
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
BLOCK_SAMPLES = 1 << 20

# libsndfile shortens a chunk of samples to the file's end and only says so in its log: 'data : <claimed> (should be
# <found>)' in WAV, 'SSND' in AIFF, 'Data Size' in AU, the whole 'riff' in W64, and a sentence in RF64.
_SHORTENED = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
_SHORTENED_RF64 = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")


class AudioError(SynattError):
    """A recording cannot be used. `kind` is a stable word for tables and metrics."""

    kind = "audio"


class AudioMissingError(AudioError):
    kind = "missing"


class AudioUnreachableError(AudioError):
    kind = "unreachable"


class AudioEmptyFileError(AudioError):
    kind = "empty_file"


class AudioFormatError(AudioError):
    kind = "not_audio"


class AudioLimitError(AudioError):
    kind = "implausible_header"


class AudioTruncatedError(AudioError):
    kind = "truncated"


class AudioCorruptError(AudioError):
    kind = "corrupt"


class AudioNoSamplesError(AudioError):
    kind = "no_samples"


class AudioNotFiniteError(AudioError):
    kind = "not_finite"


class AudioSilentError(AudioError):
    kind = "silent"


@dataclass(frozen=True)
class Audio:
    """Decoded speech and what the file said of itself.

    Attributes:
        wave: float32 ``[S]`` at 16 kHz, full scale 1.0, at most the first `read_s` seconds.
        duration_s: length of the whole recording.
        sample_rate_hz: rate found in the file.
        channels: channels found in the file.
    """

    wave: np.ndarray
    duration_s: float
    sample_rate_hz: int
    channels: int


def load_audio(path: str, read_s: float = 60.0) -> Audio:
    """Decode the first `read_s` seconds of the recording at a local path or URI.

    Only the needed part is read (and fetched, from a bucket): an hour-long file costs as much as a minute.

    Raises:
        AudioError: a subclass for each way a recording can be bad.
    """
    if storage.is_uri(path) and not path.startswith("file://"):
        try:
            with storage.open_input(path) as file:
                return decode(file, read_s)
        except storage.StorageError as err:
            kind = AudioMissingError if str(err).startswith("no such file") else AudioUnreachableError
            raise kind(str(err)) from None
        except OSError as err:
            raise AudioUnreachableError(f"reading stopped: {str(err).splitlines()[0]}") from None
    path = path.removeprefix("file://")
    _check_regular(path)
    return decode(path, read_s)


def decode(source: "str | bytes | BinaryIO", read_s: float = 60.0) -> Audio:
    """Decode the first `read_s` seconds of a local path, of bytes or of a seekable binary file.

    Channels are averaged; other rates are resampled by libsoxr's band-limited HQ filter.

    Raises:
        AudioError: a subclass for each way a recording can be bad.
    """
    try:
        with sf.SoundFile(_opened(source)) as file:
            _check_header(file)
            mono = _read_mono(file, read_s)
            # A length that was a guess ends where decoding ended.
            frames = file.frames if len(mono) == _wanted(file, read_s) else len(mono)
            rate, channels = file.samplerate, file.channels
    except sf.LibsndfileError as err:
        raise AudioFormatError(f"not audio that libsndfile reads: {_reason(err)}") from None
    _check_samples(mono)
    wave = mono if rate == RATE_HZ else soxr.resample(mono, rate, RATE_HZ, quality="HQ")
    if not len(wave):
        raise AudioNoSamplesError(f"{len(mono)} samples at {rate} Hz are too few to resample")
    if wave is not mono:
        _check_finite(wave)
    return Audio(np.ascontiguousarray(wave, dtype=np.float32), frames / rate, rate, channels)


def _opened(source: "str | bytes | BinaryIO") -> "int | BinaryIO":
    if isinstance(source, str):
        # A descriptor has no name: what a file is called ('.raw', bytes that are not UTF-8) must not matter.
        try:
            return os.open(source, os.O_RDONLY)
        except OSError as err:
            raise AudioUnreachableError(err.strerror or str(err)) from None
    if isinstance(source, bytes):
        if not source:
            raise AudioEmptyFileError("the file is empty (0 bytes)")
        return io.BytesIO(source)
    return source


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
    _check_samples(wave)
    return Audio(np.ascontiguousarray(wave, dtype=np.float32), len(wave) / RATE_HZ, RATE_HZ, 1)


def _check_samples(wave: np.ndarray) -> None:
    _check_finite(wave)
    if wave.min() == wave.max():
        raise AudioSilentError(f"all {len(wave)} samples are equal: there is no speech in it")


def _check_finite(wave: np.ndarray) -> None:
    bad = len(wave) - int(np.isfinite(wave).sum())
    if bad:
        raise AudioNotFiniteError(f"{bad} of {len(wave)} samples are NaN or infinite")


def _check_regular(path: str) -> None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise AudioMissingError("no such file") from None
    except (OSError, ValueError) as err:
        raise AudioUnreachableError(getattr(err, "strerror", None) or str(err)) from None
    if not stat.S_ISREG(found.st_mode):
        raise AudioFormatError("a folder, not a file" if stat.S_ISDIR(found.st_mode) else "not a regular file")
    if not found.st_size:
        raise AudioEmptyFileError("the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioUnreachableError("permission denied")


def _check_header(file: sf.SoundFile) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioLimitError(f"header claims {file.samplerate} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are accepted")
    if file.channels > MAX_CHANNELS:
        raise AudioLimitError(f"header claims {file.channels} channels; at most {MAX_CHANNELS} are accepted")
    if not file.frames:
        raise AudioNoSamplesError("the file has a header but no samples")
    for claimed, found in _SHORTENED.findall(file.extra_info):
        # Streamed files claim 0 or all ones on purpose.
        if 0 < int(claimed) < 0x7FFFF000 and int(found) < int(claimed):
            raise AudioTruncatedError(f"header promises {claimed} bytes of samples, the file holds {found}")
    for found, claimed in _SHORTENED_RF64.findall(file.extra_info):
        if int(found) < int(claimed):
            raise AudioTruncatedError(f"header promises {claimed} samples, the file holds {found}")


def _wanted(file: sf.SoundFile, read_s: float) -> int:
    return min(math.ceil(read_s * file.samplerate), file.frames)


def _read_mono(file: sf.SoundFile, read_s: float) -> np.ndarray:
    """float32 ``[S]``: mean over channels of the first `read_s` seconds, read in bounded blocks."""
    wanted = _wanted(file, read_s)
    block = max(1, BLOCK_SAMPLES // file.channels)
    parts, got = [], 0
    while got < wanted:
        try:
            part = file.read(min(block, wanted - got), dtype="float32", always_2d=True)
        except sf.LibsndfileError as err:
            raise AudioCorruptError(f"decoding stopped at {got / file.samplerate:.2f} s: {_reason(err)}") from None
        if not len(part):
            break
        got += len(part)
        parts.append(part[:, 0] if part.shape[1] == 1 else part.mean(axis=1, dtype=np.float32))
    if not got:
        raise AudioNoSamplesError("no samples could be decoded")
    if got < wanted and not _length_is_a_guess(file):
        raise AudioTruncatedError(
            f"header promises {file.frames / file.samplerate:.2f} s, decoding ended at {got / file.samplerate:.2f} s"
        )
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _length_is_a_guess(file: sf.SoundFile) -> bool:
    # MPEG without a Xing header: the length is estimated from the bit rate. SF_COUNT_MAX: unknown.
    return file.format == "MP3" or file.frames >= 1 << 62


def _reason(err: sf.LibsndfileError) -> str:
    return str(err.error_string).strip().rstrip(".")
