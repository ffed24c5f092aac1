"""Recordings that perturbations are made of: speech for babble, noises, impulse responses of real rooms."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synatt.errors import UsageError


@dataclass(frozen=True)
class Materials:
    """Paths or URIs of recordings; what is empty is not drawn.

    Attributes:
        speech: for babble; a clip that is perturbed may be among it.
        noises: any noise.
        rooms: impulse responses.
        hear: reads an item of `speech`, float32 ``[S]`` at 16 kHz; None: it is a path. Training has its own clips.
    """

    speech: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    hear: Callable[[str], np.ndarray] | None = None


NOTHING = Materials()
# Recordings that babble is made of, of however many there are: every task is sent their names.
BABBLE_FILES = 1000


def some(recordings: Sequence[str]) -> tuple[str, ...]:
    """At most `BABBLE_FILES` of `recordings`, evenly drawn."""
    return tuple(recordings[:: -(-len(recordings) // BABBLE_FILES) or 1])


def read_materials(speech: Sequence[str] = (), noises: Sequence[str] = (), rooms: Sequence[str] = ()) -> Materials:
    """The audio files below folders (local or in a bucket), sorted; a file stands for itself.

    Raises:
        UsageError: a place holds no audio file.
    """
    return Materials(_files(speech), _files(noises), _files(rooms))


def _files(places: Sequence[str]) -> tuple[str, ...]:
    from synatt import storage
    from synatt.audio import AUDIO_SUFFIXES

    found: list[str] = []
    for place in places:
        if storage.is_file(place):
            found.append(storage.absolute(place))
            continue
        inside = (
            [n for n, _ in storage.list_files(place) if n.lower().endswith(AUDIO_SUFFIXES)]
            if storage.is_dir(place)
            else []
        )
        if not inside:
            raise UsageError(f"no audio file at {storage.shown(place)}")
        found += [storage.join(storage.absolute(place), name) for name in sorted(inside)]
    return tuple(found)


@lru_cache(maxsize=512)
def recording(path: str) -> np.ndarray:
    """float32 ``[S]`` at 16 kHz, mono; at most the first minute.

    Raises:
        UsageError: it cannot be used, and why.
    """
    from synatt.audio import AudioError, load_audio

    try:
        return load_audio(path, 60.0).wave
    except AudioError as err:
        raise UsageError(f"{path} cannot be used to perturb with: {err}") from None


def stretch(wave: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """float64 ``[samples]`` of `wave` from a drawn place on, repeated where it is too short."""
    start = int(rng.integers(len(wave)))
    return np.resize(np.roll(wave, -start), samples).astype(np.float64)


def pick(paths: Sequence[str], name: str) -> str:
    """The path in `paths` whose digest is `name`; see `short`.

    Raises:
        UsageError: none has it: other materials were used when it was drawn.
    """
    for path in paths:
        if short(path) == name:
            return path
    raise UsageError(f"no recording {name} among the {len(paths)} given to perturb with")


def short(path: str) -> str:
    """A recording's name among the parameters: its file name and a checksum of the whole path."""
    return f"{path.rpartition('/')[2]}#{zlib.crc32(path.encode()):08x}"
