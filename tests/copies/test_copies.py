"""Vocoder copies: still the same words, made by another algorithm, fixed by the seed."""

import numpy as np
import pytest

from synatt.constants import RATE_HZ
from synatt.copies import psola, sinewave
from synatt.copies.world import f0_contour
from synatt.quickstart.roster import ALGORITHMS, Algorithm

COPIES = [a for a in ALGORITHMS if a.is_copy]
HERE = [pytest.param(a, id=a.name, marks=pytest.mark.skipif(not a.installed(), reason="not installed")) for a in COPIES]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def level_db(wave: np.ndarray) -> np.ndarray:
    frames = wave[: len(wave) // 320 * 320].reshape(-1, 320).astype(np.float64)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-6)


def bark_db(wave: np.ndarray) -> np.ndarray:
    """[frames, bands] energies of 512-sample frames in 12 wide bands below 3.7 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, :120]) ** 2
    return 10 * np.log10(power.reshape(len(frames), 12, 10).sum(axis=2) + 1e-3)


@pytest.mark.parametrize("algorithm", HERE)
@pytest.mark.parametrize("source", ["formant_speech", "neural_speech"])
def test_a_copy_says_the_same_at_the_same_time(
    algorithm: Algorithm, source: str, request: pytest.FixtureRequest
) -> None:
    speech = request.getfixturevalue(source)
    copied = algorithm.load()(speech, rng())
    assert copied.dtype == np.float32 and copied.shape == speech.shape and np.isfinite(copied).all()
    assert np.corrcoef(level_db(speech), level_db(copied))[0, 1] > 0.6
    # Coarse spectra follow the words; those of another sentence, or of this one reversed, do not.
    alike = np.corrcoef(bark_db(speech).ravel(), bark_db(copied).ravel())[0, 1]
    backwards = np.corrcoef(bark_db(speech).ravel(), bark_db(copied)[::-1].ravel())[0, 1]
    assert alike > backwards + 0.2


@pytest.mark.parametrize("algorithm", HERE)
def test_a_copy_is_made_anew_and_fixed_by_the_seed(algorithm: Algorithm, formant_speech: np.ndarray) -> None:
    copy = algorithm.load()
    first, again = copy(formant_speech, rng(4)), copy(formant_speech, rng(4))
    assert np.array_equal(first, again)
    gain = (first @ formant_speech) / (formant_speech @ formant_speech)
    assert np.sum((first - gain * formant_speech) ** 2) > 0.003 * np.sum(formant_speech**2)


@pytest.mark.parametrize("algorithm", HERE)
def test_a_copy_bears_silence(algorithm: Algorithm) -> None:
    copied = algorithm.load()(np.zeros(RATE_HZ, np.float32), rng())
    assert np.isfinite(copied).all() and np.abs(copied).max() < 0.05


def test_psola_moves_the_pitch_as_far_as_it_says(formant_speech: np.ndarray) -> None:
    before, _ = f0_contour(formant_speech)
    ratios = []
    for seed in range(8):
        after, _ = f0_contour(psola.copy(formant_speech, rng(seed)))
        voiced = (before > 0) & (after > 0)
        ratios.append(float(np.median(after[voiced] / before[voiced])))
    assert all(0.64 < r < 0.81 or 1.23 < r < 1.52 for r in ratios)
    assert min(ratios) < 1 < max(ratios)


def test_sine_wave_speech_has_no_more_tones_than_formants(neural_speech: np.ndarray) -> None:
    copied = sinewave.copy(neural_speech, rng())
    loud = np.argmax(level_db(copied)[4:-4]) + 4
    frame = copied[loud * 320 - 512 : loud * 320 + 512] * np.hanning(1024)
    power = np.sort(np.abs(np.fft.rfft(frame)) ** 2)[::-1]
    # Four tones of a few bins each hold nearly everything.
    assert power[:40].sum() > 0.95 * power.sum()
