"""Text to speech: one module a synthesizer family, each a function (text, voice, rng) -> `Speech`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Speech:
    """What a synthesizer said: float32 `[samples]` within -1..1, at its own rate."""

    wave: np.ndarray
    rate_hz: int


Speak = Callable[[str, str, np.random.Generator], Speech]
