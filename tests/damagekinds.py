"""Kinds of recordings, good, odd and damaged: each a function of real speech that draws one of its kind."""

import base64
import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import soxr

from tests.badfiles import PNG, RATE_HZ, encoded, of_unknown_length, patched

Rng = np.random.Generator

# (suffix, format, subtype)
PCM = [
    (".wav", "WAV", "PCM_U8"),
    (".wav", "WAV", "PCM_16"),
    (".wav", "WAV", "PCM_24"),
    (".wav", "WAV", "PCM_32"),
    (".wav", "WAV", "FLOAT"),
    (".wav", "WAV", "DOUBLE"),
    (".wav", "WAV", "ALAW"),
    (".wav", "WAV", "ULAW"),
    (".wav", "WAVEX", "PCM_16"),
    (".rf64", "RF64", "PCM_16"),
    (".w64", "W64", "PCM_16"),
    (".aiff", "AIFF", "PCM_16"),
    (".aif", "AIFF", "PCM_24"),
    (".au", "AU", "PCM_16"),
]
COMPRESSED = [
    (".flac", "FLAC", "PCM_16"),
    (".flac", "FLAC", "PCM_24"),
    (".ogg", "OGG", "VORBIS"),
    (".opus", "OGG", "OPUS"),
    (".mp3", "MP3", "MPEG_LAYER_III"),
    (".wav", "WAV", "IMA_ADPCM"),
]
FORMATS = [*PCM, *COMPRESSED, (".caf", "CAF", "PCM_16")]
FOREIGN = {
    "text": (".wav", b"track,algorithm\n0001,3\n" * 20),
    "json": (".flac", b'{"error": {"code": 403, "message": "expired"}}'),
    "web_page": (".mp3", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 8),
    "xml": (".wav", b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'),
    "lfs_pointer": (".flac", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    "picture": (".wav", PNG * 8),
    "pickle": (".wav", pickle.dumps({"samples": [0.5] * 100})),
    "program": (".wav", b"\x7fELF\x02\x01\x01" + bytes(300)),
    "script": (".wav", b"#!/bin/sh\necho samples\n"),
    "document": (".wav", b"%PDF-1.7\n" + bytes(200)),
    "m4a": (".m4a", b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(200)),
    "webm": (".ogg", b"\x1aE\xdf\xa3" + bytes(200)),
    "amiga": (".wav", b"FORM" + struct.pack(">I", 104_004) + b"8SVX" + (b"ANNO" + bytes(4)) * 13_000),
    "midi_dump": (".wav", b"\xf0\x7e\x00\x01" + bytes(200)),
}

# (suffix, content, what must come of it)
Made = tuple[str, bytes, str | None]


def clip(rng: Rng, wave: np.ndarray) -> np.ndarray:
    """0.6 to 1.5 s of `wave`."""
    length = int(rng.integers(RATE_HZ * 6 // 10, RATE_HZ * 3 // 2))
    start = int(rng.integers(0, len(wave) - length))
    return wave[start : start + length]


def _one_of(rng: Rng, choices: "list[tuple[str, str, str]]") -> tuple[str, str, str]:
    return choices[int(rng.integers(len(choices)))]


def _any(rng: Rng, wave: np.ndarray, choices: "list[tuple[str, str, str]]") -> tuple[str, bytes]:
    suffix, *kind = _one_of(rng, choices)
    return suffix, encoded(clip(rng, wave), *kind)


def _wav(rng: Rng, wave: np.ndarray) -> bytes:
    return encoded(clip(rng, wave))


def _good(rng: Rng, wave: np.ndarray) -> Made:
    return *_any(rng, wave, FORMATS), "ok"


def _good_rate(rng: Rng, wave: np.ndarray) -> Made:
    rate_hz = int(rng.choice([8_000, 11_025, 12_345, 22_050, 37_800, 44_100, 48_000, 96_000, 192_000]))
    suffix, *kind = _one_of(rng, [*PCM, *COMPRESSED[:2]])
    return suffix, encoded(soxr.resample(clip(rng, wave), RATE_HZ, rate_hz), *kind, rate_hz), "ok"


def _good_channels(rng: Rng, wave: np.ndarray) -> Made:
    channels = int(rng.choice([2, 3, 4, 6, 8]))
    suffix, *kind = _one_of(rng, [*PCM, *COMPRESSED[:3]])
    part = clip(rng, wave)
    many = np.stack([np.roll(part, 1000 * i) for i in range(channels)], axis=1)
    return suffix, encoded(many, *kind), "ok"


def _streamed(rng: Rng, wave: np.ndarray) -> Made:
    if rng.random() < 0.5:
        return ".flac", of_unknown_length(encoded(clip(rng, wave), "FLAC")), "ok"
    return ".wav", patched(_wav(rng, wave), 40, "<I", 0xFFFFFFFF), "ok"


def _more_than_samples(rng: Rng, wave: np.ndarray) -> Made:
    after = [b"and more text", b"LIST\x0c\0\0\0INFOISFT\0\0\0\0", bytes(5000), b"ID3\x03\0\0\0\0\0\0"]
    return ".wav", _wav(rng, wave) + after[int(rng.integers(len(after)))], "ok"


def _two_in_one(rng: Rng, wave: np.ndarray) -> Made:
    return ".wav", _wav(rng, wave) + _wav(rng, wave), "not_audio"


def _wrong_suffix(rng: Rng, wave: np.ndarray) -> Made:
    suffixes = [".wav", ".mp3", ".raw", ".txt", ".sph", "", ".WAV", ".wav.gz"]
    return suffixes[int(rng.integers(len(suffixes)))], _any(rng, wave, FORMATS)[1], "ok"


def _truncated(rng: Rng, wave: np.ndarray) -> Made:
    suffix, data = _any(rng, wave, PCM)
    return suffix, data[: int(rng.integers(1000, len(data) - 8))], "truncated"


def _truncated_header(rng: Rng, wave: np.ndarray) -> Made:
    return ".wav", _wav(rng, wave)[: int(rng.integers(1, 40))], "not_audio"


def _truncated_compressed(rng: Rng, wave: np.ndarray) -> Made:
    suffix, data = _any(rng, wave, COMPRESSED)
    return suffix, data[: int(rng.integers(1, len(data)))], None


def _empty(rng: Rng, wave: np.ndarray) -> Made:
    return _one_of(rng, FORMATS)[0], b"", "empty_file"


def _header_only(rng: Rng, wave: np.ndarray) -> Made:
    return ".wav", _wav(rng, wave)[:44], "no_samples"


def _no_samples(rng: Rng, wave: np.ndarray) -> Made:
    suffix, *kind = _one_of(rng, PCM)
    return suffix, encoded(wave[:0], *kind), "no_samples"


def _one_sample(rng: Rng, wave: np.ndarray) -> Made:
    suffix, *kind = _one_of(rng, PCM)
    return suffix, encoded(wave[:1], *kind), "silent"


def _silence(rng: Rng, wave: np.ndarray) -> Made:
    suffix, *kind = _one_of(rng, FORMATS)
    return suffix, encoded(np.zeros(RATE_HZ, np.float32), *kind), "silent"


def _constant(rng: Rng, wave: np.ndarray) -> Made:
    suffix, *kind = _one_of(rng, [*PCM, *COMPRESSED[:2]])
    return suffix, encoded(np.full(RATE_HZ, rng.uniform(-0.9, 0.9), np.float32), *kind), "silent"


def _not_finite(rng: Rng, wave: np.ndarray) -> Made:
    part = clip(rng, wave).copy()
    part[rng.integers(0, len(part), 3)] = rng.choice([np.nan, np.inf, -np.inf])
    suffix, kind = [(".wav", "WAV"), (".aiff", "AIFF"), (".w64", "W64")][int(rng.integers(3))]
    return suffix, encoded(part, kind, str(rng.choice(["FLOAT", "DOUBLE"]))), "not_finite"


def _zeros(rng: Rng, wave: np.ndarray) -> Made:
    return _one_of(rng, FORMATS)[0], bytes(int(rng.integers(1, 9000))), "not_audio"


def _noise(rng: Rng, wave: np.ndarray) -> Made:
    return _one_of(rng, FORMATS)[0], b"\x02" + rng.bytes(int(rng.integers(1, 9000))), "not_audio"


def _wrong_magic(rng: Rng, wave: np.ndarray) -> Made:
    suffix, data = _any(rng, wave, PCM)
    return suffix, b"XXXX" + data[4:], "not_audio"


def _foreign(rng: Rng, wave: np.ndarray) -> Made:
    suffix, content = FOREIGN[list(FOREIGN)[int(rng.integers(len(FOREIGN)))]]
    return suffix, content, "not_audio"


def _packed(rng: Rng, wave: np.ndarray) -> Made:
    data, out = _wav(rng, wave), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.wav"), data)
    return (
        ".wav",
        [out.getvalue(), gzip.compress(data, mtime=0), base64.b64encode(data)][int(rng.integers(3))],
        "not_audio",
    )


def _read_as_text(rng: Rng, wave: np.ndarray) -> Made:
    """Line ends 'corrected' by a transfer, or bytes taken for UTF-8: samples shift."""
    suffix, data = _any(rng, wave, FORMATS)
    return (
        suffix,
        data.replace(b"\n", b"\r\n") if rng.random() < 0.5 else data.decode("utf-8", "replace").encode(),
        None,
    )


def _huge_claim(rng: Rng, wave: np.ndarray) -> Made:
    data = _wav(rng, wave)
    flac = encoded(clip(rng, wave), "FLAC")
    claims: list[tuple[bytes, str]] = [
        (patched(data, 40, "<I", 2_000_000_000), "truncated"),
        (patched(data, 24, "<I", int(rng.integers(800_000, 2**31))), "implausible_header"),
        (patched(data, 24, "<I", int(rng.integers(1, 1000))), "implausible_header"),
        (patched(data, 22, "<H", int(rng.integers(65, 1024))), "implausible_header"),
        (patched(data, 22, "<H", 0), "not_audio"),
        (patched(encoded(clip(rng, wave), "RF64"), 36, "<Q", 2**61), "truncated"),
        (patched(encoded(clip(rng, wave), "W64"), 16, "<Q", 2**61), "truncated"),
        (patched(encoded(clip(rng, wave), "AIFF"), 42, ">I", 2**30), "truncated"),
        (patched(encoded(clip(rng, wave), "AU"), 8, ">I", 2**30), "truncated"),
        (patched(flac, 18, ">Q", struct.unpack_from(">Q", flac, 18)[0] | 2**36 - 1), "truncated"),
    ]
    content, expect = claims[int(rng.integers(len(claims)))]
    return ".wav", content, expect


def _swapped_fields(rng: Rng, wave: np.ndarray) -> Made:
    """Two of the numbers in a WAV's 'fmt ' chunk change places."""
    data = bytearray(_wav(rng, wave))
    a, b = rng.choice([20, 22, 24, 26, 28, 30, 32, 34], 2, replace=False)
    data[a : a + 2], data[b : b + 2] = data[b : b + 2], data[a : a + 2]
    return ".wav", bytes(data), None


def _flipped_sample(rng: Rng, wave: np.ndarray) -> Made:
    data = bytearray(_wav(rng, wave))
    data[int(rng.integers(44, len(data)))] ^= 1 << int(rng.integers(8))
    return ".wav", bytes(data), "ok"


def _flipped_header(rng: Rng, wave: np.ndarray) -> Made:
    suffix, data = _any(rng, wave, FORMATS)
    damaged = bytearray(data)
    damaged[int(rng.integers(100))] ^= 1 << int(rng.integers(8))
    return suffix, bytes(damaged), None


def _hole(rng: Rng, wave: np.ndarray) -> Made:
    """A stretch in the middle is zeros or noise, as after a bad sector."""
    suffix, data = _any(rng, wave, COMPRESSED)
    start = int(rng.integers(200, len(data) - 200))
    length = min(len(data) - start, int(rng.integers(1, 4000)))
    return (
        suffix,
        data[:start] + (bytes(length) if rng.random() < 0.5 else rng.bytes(length)) + data[start + length :],
        None,
    )


def _start_lost(rng: Rng, wave: np.ndarray) -> Made:
    suffix, data = _any(rng, wave, PCM)
    return suffix, data[4:], "not_audio"


MAKERS: dict[str, Callable[[Rng, np.ndarray], Made]] = {
    make.__name__.removeprefix("_"): make
    for make in (
        _good,
        _good_rate,
        _good_channels,
        _streamed,
        _more_than_samples,
        _two_in_one,
        _wrong_suffix,
        _truncated,
        _truncated_header,
        _truncated_compressed,
        _empty,
        _header_only,
        _no_samples,
        _one_sample,
        _silence,
        _constant,
        _not_finite,
        _zeros,
        _noise,
        _wrong_magic,
        _foreign,
        _packed,
        _read_as_text,
        _huge_claim,
        _swapped_fields,
        _flipped_sample,
        _flipped_header,
        _hole,
        _start_lost,
    )
}
