"""Real speech to perturb."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def speech(golden: dict[str, np.ndarray]) -> np.ndarray:
    """4 s at 16 kHz, peak 0.3."""
    wave = golden["pcm16_6s"][16_000:80_000].astype(np.float32) / 32768
    return wave * np.float32(0.3 / np.abs(wave).max())
