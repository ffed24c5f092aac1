"""espeak-ng through ctypes, from the PyPI package `espeakng-loader`: formant voices, and its Klatt synthesizer.

The two share the text analysis and differ in what makes the sound: espeak's own sums of formant wavelets, or the
parallel/cascade resonators of Klatt (1980) in the `+klatt*` variants.
"""

import _ctypes
import ctypes
from typing import Any

import numpy as np

from synatt.errors import WorkError
from synatt.quickstart.synthesizers import Speech

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_SYNCHRONOUS
CHARS_UTF8 = 1
RATE_WPM, PITCH = 1, 3  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def speak(text: str, voice: str, rng: np.random.Generator) -> Speech:
    """`text` in espeak-ng's `voice` (language, or language+variant), at a drawn rate and pitch.

    The same text, voice and rng state give the same samples, whatever was said before.

    Raises:
        WorkError: the library refuses the voice or says nothing.
    """
    import espeakng_loader

    rate_wpm, pitch = int(rng.integers(150, 191)), int(rng.integers(35, 66))
    # Noise, flutter and filter memory live in the library's static variables and no call resets them all;
    # a library loaded afresh costs 3 ms.
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        return _speak(library, espeakng_loader.get_data_path(), text, voice, rate_wpm, pitch)
    finally:
        library.espeak_Terminate()
        _unload(library)


def _speak(library: ctypes.CDLL, data: str, text: str, voice: str, rate_wpm: int, pitch: int) -> Speech:
    parts: list[np.ndarray] = []

    def keep(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _CALLBACK(keep)
    rate_hz = library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), 0)
    if rate_hz <= 0:
        raise WorkError(f"espeak-ng did not start with its data in {data}; reinstall the package espeakng-loader")
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise WorkError(f"espeak-ng has no voice {voice!r} in {data}")
    library.espeak_SetParameter(RATE_WPM, rate_wpm, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    said = text.encode()
    library.espeak_Synth(said, len(said) + 1, 0, 0, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    if not parts:
        raise WorkError(f"espeak-ng said nothing for {text!r} in voice {voice!r}")
    return Speech(np.concatenate(parts).astype(np.float32) / 32768, rate_hz)


def _unload(library: ctypes.CDLL) -> None:
    close = getattr(_ctypes, "dlclose", None) or vars(_ctypes)["FreeLibrary"]
    close(library._handle)
