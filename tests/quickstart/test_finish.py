"""The shared last steps leave no trace of rate, bandwidth, level or silence."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.quickstart.finish import EDGE_S, FLOOR_DB, LEVEL_DB, finish, to_16k, trim
from synatt.quickstart.synthesizers import Speech


def power_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wave.astype(np.float64) ** 2)))


def test_level_edges_and_floor_lie_where_they_are_drawn(formant_speech: np.ndarray) -> None:
    for seed in range(8):
        out = finish(formant_speech, np.random.default_rng(seed))
        added_s = (len(out) - len(trim(formant_speech))) / RATE_HZ
        assert 2 * EDGE_S[0] <= added_s <= 2 * EDGE_S[1]
        # The edges take from the mean power what they add in length.
        spoken_db = power_db(out) + 10 * np.log10(len(out) / len(formant_speech))
        assert LEVEL_DB[0] - 0.5 < spoken_db < LEVEL_DB[1] + 0.5
        edge = out[: round(0.8 * EDGE_S[0] * RATE_HZ)]
        assert FLOOR_DB[0] - 1 < power_db(edge) < FLOOR_DB[1] + 1
        assert out.dtype == np.float32 and np.abs(out).max() <= 0.99


def test_nothing_but_dither_is_left_above_the_low_pass() -> None:
    loud = np.random.default_rng(0).normal(0, 0.1, 2 * RATE_HZ).astype(np.float32)
    out = finish(loud, np.random.default_rng(1))
    spectrum = np.abs(np.fft.rfft(out)) ** 2
    hz = np.fft.rfftfreq(len(out), 1 / RATE_HZ)
    above, below = spectrum[hz > 7_300].mean(), spectrum[(hz > 1_000) & (hz < 6_500)].mean()
    assert 10 * np.log10(below / above) > 25


def test_a_loud_or_quiet_source_ends_at_one_level(neural_speech: np.ndarray) -> None:
    loud, quiet = (finish(neural_speech * np.float32(gain), np.random.default_rng(3)) for gain in (1.0, 0.01))
    assert np.allclose(loud, quiet, atol=1e-4)


def test_silence_around_speech_is_cut_and_that_within_stays(formant_speech: np.ndarray) -> None:
    pause = np.zeros(RATE_HZ // 2, np.float32)
    twice = np.concatenate([pause, formant_speech, pause, formant_speech, pause])
    assert abs(len(trim(twice)) - (2 * len(formant_speech) + len(pause))) <= RATE_HZ // 50


def test_other_rates_come_out_at_16_khz(formant_speech: np.ndarray) -> None:
    import soxr

    fast = soxr.resample(formant_speech, RATE_HZ, 32_000)
    assert abs(len(to_16k(Speech(fast, 32_000))) - len(formant_speech)) <= RATE_HZ // 50


def test_digital_silence_does_not_break_it() -> None:
    out = finish(np.zeros(RATE_HZ, np.float32), np.random.default_rng(0))
    assert np.isfinite(out).all() and power_db(out) < -60
