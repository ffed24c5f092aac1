"""Codecs hold their bitrate and their time, and a lower rate is further from the original."""

import numpy as np
import pytest
import soxr

from synatt.constants import RATE_HZ
from synatt.errors import UsageError
from synatt.perturb import codecs
from tests.perturb.hearing import lag, share_above

ALL = sorted({pair for pairs in codecs.LEVELS.values() for pair in pairs})


def coded(speech: np.ndarray, codec: str, kbit_s: float) -> np.ndarray:
    return codecs.apply(speech, np.random.default_rng(0), codec=codec, kbit_s=kbit_s)


@pytest.mark.parametrize(("codec", "kbit_s"), ALL)
def test_a_codec_holds_its_bitrate_and_its_time(speech: np.ndarray, codec: str, kbit_s: float) -> None:
    out = coded(speech, codec, kbit_s)
    if codec == "amr":
        # It turns the phase of a voice by a good part of a period: only magnitudes can be laid over each other.
        assert abs(lag(np.abs(speech), np.abs(out))) <= 25
    else:
        assert abs(lag(speech, out)) <= 2
    assert np.corrcoef(np.abs(out), np.abs(speech))[0, 1] > 0.5 and not np.array_equal(out, speech)
    rate = codecs.CODECS[codec].rate_hz
    long = np.tile(speech, 5)
    narrow = long if rate == RATE_HZ else soxr.resample(long, RATE_HZ, rate)
    measured = len(codecs.encode(narrow, codec, kbit_s)) * 8 / (len(long) / RATE_HZ) / 1000
    # AAC and Vorbis have no constant bitrate.
    assert abs(measured - kbit_s) < (0.4 * kbit_s if codec in ("aac", "vorbis") else max(1.0, 0.08 * kbit_s))


@pytest.mark.parametrize("codec", ["gsm", "alaw", "mulaw", "g726", "amr"])
def test_telephone_codecs_leave_nothing_above_4_khz(speech: np.ndarray, codec: str) -> None:
    rng = np.random.default_rng(0)
    bright = speech + 0.05 * rng.standard_normal(len(speech)).astype(np.float32)
    assert share_above(bright, 4_200) > 100 * share_above(coded(bright, codec, codecs.CODECS[codec].kbit_s[1]), 4_200)


@pytest.mark.parametrize(
    ("codec", "rates"), [("mp3", (16, 24, 64)), ("opus", (8, 12, 32)), ("aac", (16, 32, 64)), ("vorbis", (24, 64))]
)
def test_a_lower_bitrate_is_further_from_the_original(speech: np.ndarray, codec: str, rates: tuple[float, ...]) -> None:
    errors = [float(np.mean((coded(speech, codec, rate) - speech) ** 2)) for rate in rates]
    assert errors == sorted(errors, reverse=True)


def test_levels_draw_every_codec_they_name() -> None:
    for level, pairs in codecs.LEVELS.items():
        drawn = [codecs.draw(level, np.random.default_rng(seed)) for seed in range(400)]
        assert {(d["codec"], d["kbit_s"]) for d in drawn} == set(pairs)


@pytest.mark.parametrize(("codec", "kbit_s"), [("mp3", 5.0), ("opus", 500.0), ("amr", 64.0), ("speex", 8.0)])
def test_what_a_codec_cannot_do_is_refused(speech: np.ndarray, codec: str, kbit_s: float) -> None:
    with pytest.raises(UsageError, match=codec):
        codecs.encode(speech, codec, kbit_s)
