"""Codecs: a recording encoded and decoded in memory.

FFmpeg's libraries through PyAV do most of them without a process or a file per clip (pydub and the command line start
one each; torchaudio has given its encoders up; audiomentations knows mp3 alone; pedalboard is GPL and knows mp3 and
GSM). libsndfile adds the two encoders that PyAV's wheels lack, Vorbis and GSM 06.10.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synatt.constants import RATE_HZ
from synatt.errors import UsageError
from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import Parameters, at_length, limit


@dataclass(frozen=True)
class Codec:
    """How one codec is called.

    Attributes:
        code: FFmpeg's encoder and container, or None for libsndfile.
        rate_hz: rate it works at.
        kbit_s: the lowest and highest bitrate it takes; equal where it has but one.
        delay: samples at `rate_hz` that encoder and decoder put in front, measured on speech.
    """

    code: tuple[str, str] | None
    rate_hz: int
    kbit_s: tuple[float, float]
    delay: int = 0


CODECS = {
    "mp3": Codec(("libmp3lame", "mp3"), RATE_HZ, (8, 160)),
    "opus": Codec(("libopus", "ogg"), RATE_HZ, (6, 256)),
    "aac": Codec(("aac", "adts"), RATE_HZ, (8, 96), 1024),
    "vorbis": Codec(None, RATE_HZ, (16, 100)),
    "g722": Codec(("g722", "wav"), RATE_HZ, (64, 64), 22),
    "gsm": Codec(None, 8_000, (13, 13)),
    "alaw": Codec(("pcm_alaw", "wav"), 8_000, (64, 64)),
    "mulaw": Codec(("pcm_mulaw", "wav"), 8_000, (64, 64)),
    "g726": Codec(("g726", "wav"), 8_000, (16, 40)),
    "amr": Codec(("libopencore_amrnb", "amr"), 8_000, (4.75, 12.2), 40),
}
LEVELS: dict[str, tuple[tuple[str, float], ...]] = {
    "weak": (("mp3", 64), ("opus", 32), ("aac", 64), ("vorbis", 64), ("g722", 64)),
    "medium": (
        *(("mp3", 32), ("opus", 20), ("aac", 32), ("vorbis", 40)),
        *(("alaw", 64), ("mulaw", 64), ("g726", 32), ("amr", 12.2)),
    ),
    "strong": (
        *(("mp3", 16), ("mp3", 24), ("opus", 8), ("opus", 12), ("aac", 16), ("aac", 24), ("vorbis", 24)),
        *(("gsm", 13), ("g726", 16), ("amr", 4.75), ("amr", 7.4)),
    ),
}


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """A `codec` with its `kbit_s`: first the codec, evenly, then one of its bitrates in `LEVELS`."""
    names = list(dict.fromkeys(name for name, _ in LEVELS[level]))
    name = names[int(rng.integers(len(names)))]
    rates = [kbit_s for codec, kbit_s in LEVELS[level] if codec == name]
    return {"codec": name, "kbit_s": float(rates[int(rng.integers(len(rates)))])}


def apply(
    wave: np.ndarray, rng: np.random.Generator, materials: Materials = NOTHING, *, codec: str, kbit_s: float
) -> np.ndarray:
    """`wave` encoded, decoded, at its old rate, and moved back by the codec's delay."""
    import soxr

    known = _known(codec, kbit_s)
    samples = len(wave)
    # Low-rate codecs look at whole packets: what is shorter than one comes out empty.
    whole = at_length(wave, max(samples, RATE_HZ // 10))
    narrow = whole if known.rate_hz == RATE_HZ else soxr.resample(whole, RATE_HZ, known.rate_hz)
    decoded = decode(encode(narrow, codec, kbit_s), known)[known.delay :]
    wide = decoded if known.rate_hz == RATE_HZ else soxr.resample(decoded, known.rate_hz, RATE_HZ)
    return limit(at_length(wide, samples))


def encode(wave: np.ndarray, codec: str, kbit_s: float) -> bytes:
    """float32 `wave` at the codec's own rate as a file.

    Raises:
        UsageError: there is no such codec, or it does not take the bitrate.
    """
    known = _known(codec, kbit_s)
    wave = np.clip(wave, -1, 1).astype(np.float32)
    return _WITHOUT_FFMPEG[codec](wave, kbit_s) if known.code is None else _ffmpeg(wave, known, kbit_s)


def decode(file: bytes, codec: Codec) -> np.ndarray:
    """float32 samples at the codec's own rate, its delay still in front."""
    import av
    import soundfile as sf

    if codec.code is None:
        return sf.read(io.BytesIO(file), dtype="float32")[0]
    with av.open(io.BytesIO(file), "r") as reader:
        to_float = av.AudioResampler(format="flt", layout="mono", rate=codec.rate_hz)
        parts = [part.to_ndarray()[0] for frame in reader.decode(audio=0) for part in to_float.resample(frame)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _ffmpeg(wave: np.ndarray, codec: Codec, kbit_s: float) -> bytes:
    import av

    assert codec.code is not None
    encoder, container = codec.code
    file = io.BytesIO()
    with av.open(file, "w", format=container) as writer:
        stream = writer.add_stream(encoder, rate=codec.rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = round(1000 * kbit_s)
        stream.options = _effort(encoder, kbit_s)
        context = stream.codec_context
        context.open()
        wanted = (context.codec.audio_formats or [context.format])[0]
        blocks = av.AudioResampler(
            format=wanted, layout="mono", rate=codec.rate_hz, frame_size=context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(wave[None], format="flt", layout="mono")
        frame.sample_rate = codec.rate_hz
        for block in [*blocks.resample(frame), *blocks.resample(None), None]:
            writer.mux(stream.encode(block))
    return file.getvalue()


def _effort(encoder: str, kbit_s: float) -> dict[str, object]:
    """Options that save an encoder work and leave its output about as far from the original, in log spectra."""
    if encoder == "aac" and kbit_s >= 32:
        # At 24 kbit/s it would lose bands that the default search keeps (14 dB from the original instead of 8).
        return {"aac_coder": "fast"}
    if encoder == "libmp3lame":
        return {"compression_level": "7"}
    if encoder == "libopus":
        # At 12 kbit/s level 1 falls back to a narrower band (20 dB from the original instead of 8). The bitrate is the
        # one that was asked for.
        return {"compression_level": "1" if kbit_s > 16 else "2", "vbr": "off"}
    return {}


def _vorbis(wave: np.ndarray, kbit_s: float) -> bytes:
    import soundfile as sf

    # libsndfile takes a compression level in 0-1 for Vorbis' quality; on speech at 16 kHz 0 / 0.5 / 0.8 / 1 gave about
    # 100 / 57 / 33 / 18 kbit/s.
    level = float(np.interp(kbit_s, (18, 33, 57, 100), (1.0, 0.8, 0.5, 0.0)))
    file = io.BytesIO()
    sf.write(file, wave, RATE_HZ, "VORBIS", format="OGG", compression_level=level)
    return file.getvalue()


def _gsm(wave: np.ndarray, kbit_s: float) -> bytes:
    import soundfile as sf

    file = io.BytesIO()
    sf.write(file, wave, CODECS["gsm"].rate_hz, "GSM610", format="WAV")
    return file.getvalue()


_WITHOUT_FFMPEG: dict[str, Callable[[np.ndarray, float], bytes]] = {"vorbis": _vorbis, "gsm": _gsm}


def _known(codec: str, kbit_s: float) -> Codec:
    if codec not in CODECS:
        raise UsageError(f"no codec {codec!r}; there are {', '.join(CODECS)}")
    known = CODECS[codec]
    low, high = known.kbit_s
    if not low <= kbit_s <= high:
        raise UsageError(
            f"{codec} at {kbit_s:g} kbit/s: {low:g} to {high:g} can be had at {known.rate_hz / 1000:g} kHz"
        )
    return known
