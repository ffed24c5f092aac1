"""Recordings that cannot be used, one for each way in which files go bad."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile as sf

RATE_HZ = 16_000
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


def encoded(wave: np.ndarray, format: str = "WAV", subtype: str = "PCM_16", rate_hz: int = RATE_HZ) -> bytes:
    """The bytes of an audio file, the same ones each time."""
    out = io.BytesIO()
    sf.write(out, wave, rate_hz, format=format, subtype=subtype)
    return settled(out.getvalue())


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def settled(data: bytes) -> bytes:
    """`data` without what libsndfile draws or takes from the clock: the hour of a peak, the number of an Ogg stream.

    The checksums of an Ogg stream are right afterwards, whatever is in it.
    """
    out = bytearray(data)
    if (peak := data.find(b"PEAK", 0, 200)) > 0:
        out[peak + 12 : peak + 16] = bytes(4)
    page = 0
    while data[page : page + 4] == b"OggS" and len(data) >= page + 27:
        body = page + 27 + data[page + 26]
        end = body + sum(data[page + 27 : body])
        out[page + 14 : page + 18], out[page + 22 : page + 26] = b"same", bytes(4)
        # Ogg's checksum is zlib's with the bits of each byte the other way round, from 0.
        crc = zlib.crc32(out[page:end].translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        out[page + 22 : page + 26] = int(f"{crc:032b}"[::-1], 2).to_bytes(4, "little")
        page = end
    return bytes(out)


def patched(data: bytes, offset: int, layout: str, value: int) -> bytes:
    """`data` with one number overwritten."""
    out = bytearray(data)
    struct.pack_into(layout, out, offset, value)
    return bytes(out)


def bad_contents(wave: np.ndarray) -> dict[str, tuple[bytes, str]]:
    """File name -> (content, kind of the `AudioError` it must give), for a real recording float ``[S]`` at 16 kHz."""
    wave = np.asarray(wave, dtype=np.float32)
    wav, flac, floats = encoded(wave), encoded(wave, "FLAC"), encoded(wave, subtype="FLOAT")
    no_number, infinite = wave.copy(), wave.copy()
    no_number[len(wave) // 2] = np.nan
    infinite[-1] = np.inf
    overflowing = np.where(np.arange(24_000) % 7 < 3, 3.4e38, -3.4e38).astype(np.float32)
    return {
        "empty.wav": (b"", "empty_file"),
        "text.wav": (b"track,algorithm\n0001,3\n" * 20, "not_audio"),
        "web_page.mp3": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 8, "not_audio"),
        "picture.wav": (PNG * 8, "not_audio"),
        "noise.flac": (np.random.default_rng(5).bytes(4096).replace(b"\xff", b"\x00"), "not_audio"),
        "zeros.wav": (bytes(4096), "not_audio"),
        "text.raw": (b"no samples here " * 64, "not_audio"),
        "magic_only.wav": (wav[:4], "not_audio"),
        "half_header.wav": (wav[:30], "not_audio"),
        "header_only.wav": (wav[:44], "no_samples"),
        "half.wav": (wav[: len(wav) // 2], "truncated"),
        "last_byte_gone.wav": (wav[:-1], "truncated"),
        "half_float.wav": (floats[: len(floats) // 2], "truncated"),
        "half.rf64": (encoded(wave, "RF64")[: len(wav) // 2], "truncated"),
        "half.w64": (encoded(wave, "W64")[: len(wav) // 2], "truncated"),
        "half.aiff": (encoded(wave, "AIFF")[: len(wav) // 2], "truncated"),
        "half.au": (encoded(wave, "AU")[: len(wav) // 2], "truncated"),
        "half.flac": (flac[: len(flac) // 2], "corrupt"),
        "header_only.flac": (flac[:42], "truncated"),
        "half_header.ogg": (encoded(wave, "OGG", "VORBIS")[:60], "not_audio"),
        "no_samples.wav": (encoded(wave[:0]), "no_samples"),
        "no_samples_promised.wav": (patched(wav, 40, "<I", 0), "no_samples"),
        "nan.wav": (encoded(no_number, subtype="FLOAT"), "not_finite"),
        "infinite.wav": (encoded(infinite, subtype="DOUBLE"), "not_finite"),
        "overflows_when_resampled.wav": (encoded(overflowing, subtype="FLOAT", rate_hz=48_000), "not_finite"),
        "silent.wav": (encoded(np.zeros(RATE_HZ)), "silent"),
        "constant.flac": (encoded(np.full(RATE_HZ, 0.25), "FLAC"), "silent"),
        "one_sample.wav": (encoded(wave[:1]), "silent"),
        "a_thousand_million_samples.wav": (patched(wav, 40, "<I", 2_000_000_000), "truncated"),
        "4_GHz.wav": (patched(wav, 24, "<I", 4_000_000_000), "not_audio"),
        "1_GHz.wav": (patched(wav, 24, "<I", 1_000_000_000), "implausible_header"),
        "0_Hz.wav": (patched(wav, 24, "<I", 0), "not_audio"),
        "3_Hz.wav": (patched(wav, 24, "<I", 3), "implausible_header"),
        "1000_channels.wav": (patched(wav, 22, "<H", 1000), "implausible_header"),
        "no_channels.wav": (patched(wav, 22, "<H", 0), "not_audio"),
    }


def make_bad_files(folder: Path, wave: np.ndarray) -> dict[str, tuple[str, str]]:
    """Write bad recordings below `folder`.

    Args:
        wave: float ``[S]`` at 16 kHz, real speech that the damaged ones are made from.

    Returns:
        name -> (path, kind of the `AudioError` it must give). Some paths are no regular file, or are not there.
    """
    made = {}
    for name, (content, kind) in bad_contents(wave).items():
        (folder / name).write_bytes(content)
        made[name] = (str(folder / name), kind)

    def add(name: str, kind: str) -> Path:
        made[name] = (str(folder / name), kind)
        return folder / name

    add("missing.wav", "missing")
    add("folder.wav", "not_audio").mkdir()
    add("dangling_link.wav", "missing").symlink_to(folder / "nothing_here.wav")
    loop = add("link_loop.wav", "unreachable")
    loop.symlink_to(loop)
    add("below_a_file.wav/x.wav", "unreachable")
    (folder / "below_a_file.wav").write_bytes(encoded(np.asarray(wave, dtype=np.float32)))
    add("n" * 300 + ".wav", "unreachable")
    os.mkfifo(add("pipe.wav", "not_audio"))
    if os.geteuid():
        locked = add("locked.wav", "unreachable")
        locked.write_bytes(encoded(np.asarray(wave, dtype=np.float32)))
        locked.chmod(0)
    return made


def of_unknown_length(flac: bytes) -> bytes:
    """A FLAC as a program writes it that does not know yet how much will come: its header tells no length."""
    return patched(flac, 18, ">Q", struct.unpack_from(">Q", flac, 18)[0] >> 36 << 36)


def silence(format: str, subtype: str, rate_hz: int, channels: int, seconds: float) -> bytes:
    """An audio file of nothing, which compresses well."""
    out, left = io.BytesIO(), int(rate_hz * seconds)
    zeros = np.zeros((1 << 18, channels), np.float32)
    with sf.SoundFile(out, "w", rate_hz, channels, subtype, format=format) as file:
        while left:
            file.write(zeros[:left])
            left -= min(left, len(zeros))
    return out.getvalue()


def make_bombs(folder: Path, wave: np.ndarray) -> dict[str, tuple[str, str]]:
    """Write recordings below `folder` that are small, or say that they are, and would be huge or endless to decode.

    Returns:
        name -> (path, kind of the `AudioError` it must give).
    """
    wave = np.asarray(wave, dtype=np.float32)
    wav, flac, w64 = encoded(wave), encoded(wave, "FLAC"), encoded(wave, "W64")
    rf64, aiff, au, caf = (encoded(wave, kind) for kind in ("RF64", "AIFF", "AU", "CAF"))
    mp3 = silence("MP3", "MPEG_LAYER_III", 48_000, 1, 2.0)
    # 13,000 chunks without content.
    endless = b"FORM" + struct.pack(">I", 104_004) + b"8SVX" + (b"ANNO" + bytes(4)) * 13_000
    chunks = (b"junk" + bytes(4)) * 500_000
    bombs = {
        "dense.flac": (silence("FLAC", "PCM_16", 655_350, 8, 20.0), "implausible_header"),
        "as_dense_as_may_be.flac": (silence("FLAC", "PCM_16", 192_000, 8, 60.0), "silent"),
        "hours.opus": (silence("OGG", "OPUS", 48_000, 8, 20.0) * 500, "silent"),
        "hours.ogg": (silence("OGG", "VORBIS", 8_000, 1, 1200.0) * 20, "silent"),
        # The first frame tells how many there are, without it all are found.
        "hours.mp3": (mp3[mp3.index(mp3[:2], 4) :] * 2000, "silent"),
        "255_channels.ogg": (silence("OGG", "VORBIS", 8_000, 255, 0.1), "implausible_header"),
        "two_million_years.flac": (
            patched(flac, 18, ">Q", struct.unpack_from(">Q", flac, 18)[0] | 2**36 - 1),
            "truncated",
        ),
        "1000_channels.wav": (patched(wav, 22, "<H", 1000), "implausible_header"),
        "4_GHz.wav": (patched(wav, 24, "<I", 4_000_000_000), "not_audio"),
        "a_thousand_million_samples.wav": (patched(wav, 40, "<I", 2_000_000_000), "truncated"),
        "lying.rf64": (patched(rf64, 36, "<Q", 2**61), "truncated"),
        "lying.w64": (patched(w64, 16, "<Q", 2**62), "truncated"),
        "lying.aiff": (patched(aiff, 42, ">I", 2**30), "truncated"),
        "lying.au": (patched(au, 8, ">I", 2**30), "truncated"),
        "lying.caf": (patched(caf, caf.index(b"data") + 4, ">Q", 2**62), "not_audio"),
        "256_MB_of_tags.mp3": (b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + mp3, "not_audio"),
        "tags_only.mp3": (b"ID3\x03\0\0\0\0\0\0" * 100_000, "not_audio"),
        "16_MB_picture.flac": (flac[:42] + b"\x06\xff\xff\xff" + flac[46:], "not_audio"),
        "endless.wav": (endless, "not_audio"),
        "endless.mp3": (b"ID3\x03\0\0\0\0\0\x04" + bytes(4) + endless, "not_audio"),
        "chunks.wav": (wav[:36] + chunks + wav[36:], "not_audio"),
        "chunks.aiff": (aiff[:38] + chunks + aiff[38:], "not_audio"),
    }
    for name, (content, _) in bombs.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.wav").open("wb") as file:
        # 4 GB of zeros that take no room on disk.
        file.write(patched(patched(patched(wav[:44], 22, "<H", 64), 24, "<I", 768_000), 40, "<I", 2**32 - 100))
        file.truncate(2**32 - 56)
    made = {name: (str(folder / name), kind) for name, (_, kind) in bombs.items()}
    return made | {"sparse.wav": (str(folder / "sparse.wav"), "implausible_header")}
