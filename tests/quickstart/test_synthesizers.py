"""Synthesizers speak, and say the same thing the same way whatever was said before."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from synatt.errors import WorkError
from synatt.quickstart.roster import ESPEAK_VOICES, KLATT_VOICES
from synatt.quickstart.synthesizers import Speech, espeak, natural, piper, system

TEXT = "The station master fixed the broken window after a cold breakfast."


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_speech(said: Speech) -> bool:
    """Two to six seconds, within full scale, with pauses or at least loud and soft parts as speech has them."""
    frames = said.wave[: len(said.wave) // 400 * 400].reshape(-1, 400)
    level_db = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-10)
    spread = np.percentile(level_db, 95) - np.percentile(level_db, 10)
    return (
        said.wave.dtype == np.float32
        and 2.0 < len(said.wave) / said.rate_hz < 6.0
        and 0.05 < np.abs(said.wave).max() <= 1.0
        and spread > 15
    )


@pytest.mark.parametrize("voice", sorted({*ESPEAK_VOICES["train"], *ESPEAK_VOICES["eval"], *KLATT_VOICES}))
def test_every_espeak_voice_of_the_roster_speaks(voice: str) -> None:
    assert is_speech(espeak.speak(TEXT, voice, rng()))


def test_espeak_does_not_remember_what_it_said_before() -> None:
    voices = (*ESPEAK_VOICES["train"], *ESPEAK_VOICES["eval"], *KLATT_VOICES)
    first = [espeak.speak(TEXT, voice, rng(1)).wave for voice in voices]
    again = [espeak.speak(TEXT, voice, rng(1)).wave for voice in reversed(voices)][::-1]
    assert [v for v, a, b in zip(voices, first, again, strict=True) if not np.array_equal(a, b)] == []


def test_the_klatt_synthesizer_sounds_unlike_the_formant_one() -> None:
    formant, klatt = (espeak.speak(TEXT, voice, rng(1)).wave for voice in ("en-us", "en-us+klatt"))
    short = min(len(formant), len(klatt))
    assert np.corrcoef(formant[:short], klatt[:short])[0, 1] < 0.9


def test_another_draw_gives_another_pace_or_pitch() -> None:
    lengths = {len(espeak.speak(TEXT, "en-us+m1", rng(seed)).wave) for seed in range(6)}
    assert len(lengths) >= 4


def test_an_absent_espeak_voice_is_named() -> None:
    with pytest.raises(WorkError, match="no voice 'tlh-qo'"):
        espeak.speak(TEXT, "tlh-qo", rng())


def test_piper_is_fixed_by_the_seed_and_varies_with_it() -> None:
    first = piper.speak(TEXT, "joe", rng(1))
    other = piper.speak(TEXT, "joe", rng(2))
    again = piper.speak(TEXT, "joe", rng(1))
    assert is_speech(first) and first.rate_hz == 22_050
    assert np.array_equal(first.wave, again.wave) and not np.array_equal(first.wave, other.wave)


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
@pytest.mark.parametrize("voice", ["awb", "rms", "kal16"])
def test_flite_speaks_where_it_is_installed(voice: str) -> None:
    first, again = (system.flite(TEXT, voice, rng(1)) for _ in range(2))
    assert is_speech(first) and first.rate_hz == 16_000 and np.array_equal(first.wave, again.wave)


@pytest.mark.skipif(not shutil.which("text2wave"), reason="festival is not installed")
def test_festival_says_why_it_cannot_speak() -> None:
    with pytest.raises(WorkError, match="text2wave"):
        system.festival(TEXT, "no_such_voice", rng())


def test_recorded_prompts_are_decoded_and_drawn_by_the_seed(tmp_path: Path, formant_speech: np.ndarray) -> None:
    codec = pytest.importorskip("G722").G722
    for name, gain in (("loud", 0.5), ("soft", 0.05)):
        pcm = np.round(formant_speech * gain * 32767).astype(np.int16)
        (tmp_path / f"{name}.g722").write_bytes(codec(16_000, 64_000).encode(pcm))
    (tmp_path / "beep.g722").write_bytes(bytes(800))  # too short to be a sentence
    assert [path.stem for path in natural.prompts(tmp_path)] == ["loud", "soft"]
    said = [natural.speak("", "", rng(seed), tmp_path).wave for seed in range(8)]
    assert len({float(wave.std()) for wave in said}) == 2
    assert np.array_equal(natural.speak("", "", rng(3), tmp_path).wave, said[3])
    # The codec's two filter banks delay by 22 samples.
    late, source = said[0][22:], formant_speech[: len(said[0]) - 22]
    assert np.corrcoef(late, source)[0, 1] > 0.98


def test_without_prompts_the_folder_is_named(tmp_path: Path) -> None:
    pytest.importorskip("G722")
    with pytest.raises(WorkError, match=str(tmp_path)):
        natural.speak("", "", rng(), tmp_path)
