"""Human speech, when Debian's `asterisk-core-sounds-en-g722` and the PyPI package `G722` are installed.

Nobody synthesised it, so it is one more unknown of training. The prompts (CC BY-SA) are read where they lie.
"""

from importlib import util
from pathlib import Path

import numpy as np

from synatt.errors import WorkError
from synatt.quickstart.synthesizers import Speech

FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
RATE_HZ, BIT_S = 16_000, 64_000
LENGTH_S = (2.0, 4.0)


def prompts(folder: Path = FOLDER) -> list[Path]:
    """The G.722 files below `folder` that last 2 s or more, sorted."""
    shortest = LENGTH_S[0] * BIT_S / 8
    return sorted(path for path in folder.rglob("*.g722") if path.stat().st_size >= shortest)


def present() -> bool:
    """True where prompts and their decoder are installed."""
    return util.find_spec("G722") is not None and bool(prompts())


def speak(text: str, voice: str, rng: np.random.Generator, folder: Path = FOLDER) -> Speech:
    """The first 4 s of a drawn prompt; what `text` asks for cannot be had from a recording.

    Raises:
        WorkError: there is no prompt.
    """
    from G722 import G722

    found = prompts(folder)
    if not found:
        raise WorkError(f"no prompt of {LENGTH_S[0]:g} s or more below {folder}")
    coded = found[int(rng.integers(len(found)))].read_bytes()[: round(LENGTH_S[1] * BIT_S / 8)]
    decoded = np.frombuffer(G722(RATE_HZ, BIT_S).decode(coded), "<i2")
    return Speech(decoded.astype(np.float32) / 32768, RATE_HZ)
