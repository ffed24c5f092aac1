"""An open recording: what its header claims is checked, then its samples come in blocks, float32 mono at 16 kHz."""

import io
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf
import soxr

from synatt import storage
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
from synatt.byterange import ByteRange
from synatt.constants import RATE_HZ

# Bounds on what a header may claim before we believe it (a damaged header can claim anything).
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
# What is decoded for a second of speech: 8 channels at 192 kHz. Less than a minute may be as much work as a minute.
MAX_SAMPLES_PER_S, MINUTE_S = 8 * 192_000, 60.0
# Samples over all channels that are decoded at a time: they stay in the processor's cache.
BLOCK_SAMPLES = 1 << 16
# libsndfile's word for a length that the file does not tell is 2^63 - 1.
UNKNOWN_FRAMES = 1 << 62

# libsndfile shortens a chunk of samples to the file's end and only says so in its log: 'data : <claimed> (should be
# <found>)' in WAV, 'SSND' in AIFF, 'Data Size' in AU, the whole 'riff' in W64. Of RF64 it logs the claimed frames.
_SHORTENED = re.compile(r"^\s*(data|SSND|Data Size|riff)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
_RF64_FRAMES = re.compile(r"^\s*Frames\s*:\s*(\d+)", re.MULTILINE)

# libsndfile 1.2.2 never returns from an 8SVX or 16SV file with over 100 kB of chunks before its samples, and writes
# each odd byte of a MIDI sample dump (SDS) to stdout.
_HARMFUL = re.compile(rb"FORM.{4}(?:8SVX|16SV)|\xf0\x7e[\x00-\x7f]\x01", re.DOTALL)
MAX_ID3_TAGS = 16


class Recording:
    """An open recording whose header was believed; iterated once, it gives float32 ``[S]`` blocks at 16 kHz, mono.

    What is wrong with samples is raised where decoding meets it: what came before is sound. That all of them are equal
    shows at the end only.

    Attributes:
        sample_rate_hz: rate found in the file.
        channels: channels found in the file.
    """

    def __init__(self, file: sf.SoundFile, read_s: float) -> None:
        _check_header(file)
        self.sample_rate_hz, self.channels = file.samplerate, file.channels
        self._file = file
        self._wanted = min(math.ceil(read_s * file.samplerate), file.frames)
        _check_effort(file, self._wanted)
        self._frames, self._got = file.frames, 0

    @property
    def duration_s(self) -> float | None:
        """Length of the whole recording; None if the file does not tell and its end was not reached."""
        return None if self._frames >= UNKNOWN_FRAMES else self._frames / self.sample_rate_hz

    def __iter__(self) -> Iterator[np.ndarray]:
        rate_hz = self.sample_rate_hz
        resampler = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, quality="HQ")
        lowest, highest, given = np.inf, -np.inf, 0
        for mono in self._mono_blocks():
            low, high = finite_range(mono, self._got)
            lowest, highest = min(lowest, low), max(highest, high)
            wave = mono
            if resampler:
                wave = resampler.resample_chunk(mono)
                finite_range(wave, given + len(wave))
            given += len(wave)
            yield wave
        if lowest == highest:
            raise AudioSilentError(f"all {self._got} samples are equal: there is no speech in it")
        if resampler:
            wave = resampler.resample_chunk(np.empty(0, np.float32), last=True)
            given += len(wave)
            if not given:
                raise AudioNoSamplesError(f"{self._got} samples at {rate_hz} Hz are too few to resample")
            finite_range(wave, given)
            yield wave

    def _mono_blocks(self) -> Iterator[np.ndarray]:
        """float32 ``[S]`` at the file's own rate: the mean over channels."""
        block = max(1, BLOCK_SAMPLES // self.channels)
        while self._got < self._wanted:
            try:
                part = self._file.read(min(block, self._wanted - self._got), dtype="float32", always_2d=True)
            except sf.LibsndfileError as err:
                at_s = self._got / self.sample_rate_hz
                raise AudioCorruptError(f"decoding stopped at {at_s:.2f} s: {_reason(err)}") from None
            if not len(part):
                self._end_early()
                return
            self._got += len(part)
            yield part[:, 0] if self.channels == 1 else part.mean(axis=1, dtype=np.float32)

    def _end_early(self) -> None:
        # MPEG without a Xing header: the length was estimated from the bit rate.
        if self._frames < UNKNOWN_FRAMES and self._file.format != "MP3":
            got_s = self._got / self.sample_rate_hz
            raise AudioTruncatedError(f"header promises {self.duration_s:.2f} s, decoding ended at {got_s:.2f} s")
        if not self._got:
            raise AudioNoSamplesError("no samples could be decoded")
        self._frames = self._got


@contextmanager
def open_recording(source: "str | bytes | BinaryIO", read_s: float) -> Iterator[Recording]:
    """Open a local path or URI, bytes or a seekable binary file, to decode its first `read_s` seconds.

    Raises:
        AudioError: the file or its header is bad; on leaving, where storage stopped answering half way.
    """
    with _opened(source) as file:
        _check_harmless(file)
        try:
            # A descriptor has no name: what a file is called ('.raw', bytes that are not UTF-8) must not matter.
            sound = _Forward(file.fileno() if isinstance(file, io.FileIO) else file, closefd=False)
        except sf.LibsndfileError as err:
            raise AudioFormatError(f"not audio that libsndfile reads: {_reason(err)}") from None
        with sound:
            yield Recording(sound, read_s)


class _Forward(sf.SoundFile):
    """Read from start to end: soundfile's own seek after every read fails in a FLAC that does not tell its length."""

    def seekable(self) -> bool:
        return False


class _Bytes(io.BytesIO):
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            # A damaged header sends the decoder to before the start: no reason to print a traceback.
            return super().seek(0)


@contextmanager
def _opened(source: "str | bytes | BinaryIO") -> Iterator[Any]:
    with ExitStack() as stack:
        file = _seekable(source, stack)
        try:
            yield file
        except AudioError:
            _check_failure(file)
            raise
        _check_failure(file)


def _seekable(source: "str | bytes | BinaryIO", stack: ExitStack) -> Any:
    if isinstance(source, bytes):
        if not source:
            raise AudioEmptyFileError("the file is empty (0 bytes)")
        return _Bytes(source)
    if not isinstance(source, str):
        return source
    if storage.is_uri(source) and not source.startswith("file://"):
        try:
            remote: Any = stack.enter_context(storage.open_input(source))
        except storage.StorageError as err:
            kind = AudioMissingError if str(err).startswith("no such file") else AudioUnreachableError
            raise kind(str(err)) from None
        return ByteRange(remote, 0, remote.size())
    path = source.removeprefix("file://")
    _check_regular(path)
    try:
        return stack.enter_context(open(path, "rb", buffering=0))
    except OSError as err:
        raise AudioUnreachableError(err.strerror or str(err)) from None


def _check_failure(file: Any) -> None:
    # No exception passes through C: a `ByteRange` keeps it, and what the decoder made of it is worth nothing.
    if isinstance(file, ByteRange) and file.failure:
        raise AudioUnreachableError(f"reading stopped: {storage.why(file.failure)}") from None


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


def _check_harmless(file: Any) -> None:
    """Look past ID3 tags, as libsndfile does, for what it must not be given; the file's position stays."""
    # Beneath a buffer, which libsndfile's first question, for the file's size, would empty again.
    raw = getattr(file, "raw", file)
    start, at = raw.tell(), 0
    for _ in range(MAX_ID3_TAGS):
        raw.seek(at)
        head = raw.read(12)
        if len(head) < 12 or not head.startswith(b"ID3"):
            break
        at += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    else:
        raise AudioFormatError(f"not audio: it begins with {MAX_ID3_TAGS} ID3 tags")
    if _HARMFUL.match(head):
        raise AudioFormatError("8SVX, 16SV and SDS files are not read: convert it to WAV or FLAC")
    raw.seek(start)


def _check_header(file: sf.SoundFile) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise AudioLimitError(f"header claims {file.samplerate} Hz; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are accepted")
    if file.channels > MAX_CHANNELS:
        raise AudioLimitError(f"header claims {file.channels} channels; at most {MAX_CHANNELS} are accepted")
    if not file.frames:
        raise AudioNoSamplesError("the file has a header but no samples")
    for chunk, claimed, found in _SHORTENED.findall(file.extra_info):
        # Streamed files claim 0 or all ones on purpose; W64 counts with 64 bits.
        streamed = not int(claimed) or (chunk != "riff" and int(claimed) >= 0x7FFFF000)
        if int(found) < int(claimed) and not streamed:
            raise AudioTruncatedError(f"header promises {claimed} bytes of samples, the file holds {found}")
    for claimed in _RF64_FRAMES.findall(file.extra_info) if file.format == "RF64" else ():
        if file.frames < int(claimed) < 1 << 63:
            raise AudioTruncatedError(f"header promises {claimed} samples, the file holds {file.frames}")


def _check_effort(file: sf.SoundFile, frames: int) -> None:
    seconds = max(frames / file.samplerate, MINUTE_S)
    if frames * file.channels > MAX_SAMPLES_PER_S * seconds:
        raise AudioLimitError(
            f"{frames * file.channels} samples to decode ({file.channels} channels at {file.samplerate} Hz); "
            f"at most {MAX_SAMPLES_PER_S * seconds:.0f} are accepted for {seconds:.0f} s"
        )


def finite_range(wave: np.ndarray, read: int) -> tuple[float, float]:
    """The lowest and highest sample of a part ``[S]`` of the `read` samples that were seen so far; of none, 0 and 0.

    Raises:
        AudioNotFiniteError: some are NaN or infinite.
    """
    if not len(wave):
        return 0.0, 0.0
    # Both are NaN where any sample is: samples need not be looked at one by one.
    low, high = float(wave.min()), float(wave.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = len(wave) - int(np.isfinite(wave).sum())
        raise AudioNotFiniteError(f"{bad} of {read} samples are NaN or infinite")
    return low, high


def _reason(err: sf.LibsndfileError) -> str:
    return str(err.error_string).strip().rstrip(".")
