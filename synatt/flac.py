"""A wave as a FLAC file in memory."""

import io

import numpy as np

from synatt.constants import RATE_HZ


def flac(wave: np.ndarray) -> bytes:
    """float ``[S]`` at 16 kHz, full scale 1 -> a FLAC file of 16 bits."""
    import soundfile as sf

    file = io.BytesIO()
    sf.write(file, wave, RATE_HZ, "PCM_16", format="FLAC")
    return file.getvalue()
