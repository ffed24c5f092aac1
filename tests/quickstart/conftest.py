"""Real speech for the tests below, rendered once."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from synatt.quickstart.finish import to_16k
from synatt.quickstart.synthesizers import espeak, piper

TEXT = "The night porter found seven old coins near the frozen lake."


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in rendering: short transforms only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def formant_speech() -> np.ndarray:
    """float32 [S] at 16 kHz by espeak-ng."""
    return to_16k(espeak.speak(TEXT, "en-us+m1", np.random.default_rng(0)))


@pytest.fixture(scope="session")
def neural_speech() -> np.ndarray:
    """float32 [S] at 16 kHz by piper."""
    return to_16k(piper.speak(TEXT, "joe", np.random.default_rng(0)))
