"""Takes: perturbed versions of recordings, made once, kept beside them in the clip store, drawn from by all training.

A training take is a piece of a recording that was perturbed with all that the recipe allows; a judged take is a whole
recording, perturbed as its name and the level alone have it. Each is made of the samples that the store holds, so an
outlier's takes are of what its vocoder made. A file holds one take each of a shard's recordings: it needs as much
memory as the shard, and more takes, or another level to judge at, leave the files that are there.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np

from synatt import storage
from synatt.clipstore import ClipStore, Shard, to_int16, write_waves
from synatt.manifest import Manifest
from synatt.perturb import LEVELS, Materials, perturb, read_materials
from synatt.perturb.materials import some
from synatt.recipe import Augment, Recipe

# A piece is so many clips long: crops of one take differ, and long recordings need no more room.
PIECE_CLIPS = 2
# The kind of problem of a take that could not be made.
FAILED = "take_failed"
# No track has it in its name.
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Drawn:
    """What a training take is made with.

    Attributes:
        number: of the take, from 0.
        samples: length of the piece at most.
        seed: fixes, with track and number, what is drawn.
    """

    number: int
    samples: int
    seed: int
    kinds: tuple[str, ...]
    materials: Materials


@dataclass(frozen=True)
class Take:
    """One take each of some recordings.

    Attributes:
        tracks: of which recordings.
        level: of perturbation.
        drawn: None: a judged take.
    """

    tracks: frozenset[str]
    level: str
    drawn: Drawn | None = None


def key(track: str, level: str, number: int | None = None) -> str:
    """Where a clip store has a take of `track`: training take `number`, or the judged one."""
    return _SEPARATOR.join([track, level] if number is None else [track, level, str(number)])


def training_key(settings: Augment, track: str, number: int) -> str:
    """Where training take `number` of `track` lies; the levels of `perturb_levels` take turns."""
    return key(track, _level(settings, number), number)


def _level(settings: Augment, number: int) -> str:
    return settings.perturb_levels[number % len(settings.perturb_levels)]


def wanted_takes(rows: Manifest, recipe: Recipe, judged: bool) -> list[Take]:
    """The takes that `recipe` wants of `rows`, which it trains on.

    Training takes of every row, and where rows are `judged`, one take of each labelled one at each of
    `tune.judge_levels`. Babble is made of labelled rows whatever their fold: in a take there may be murmur of clips
    that a fold holds out.

    Raises:
        UsageError: a folder to perturb with holds no audio.
    """
    tracks, split = np.array(rows.column("track"), dtype=object), np.array(rows.column("split"), dtype=object)
    soft, made = split == "eval", split == "outlier"
    labelled = ~(soft | made)
    takes: list[Take] = []
    if recipe.augment.perturb_takes:
        paths = np.array([storage.absolute(path) for path in rows.column("path")], dtype=object)
        found = materials_of(recipe.augment, some(paths[labelled].tolist()))
        # Apart, so that a later stage, with soft labels, finds the takes that an earlier one had made.
        parts = [frozenset(tracks[part]) for part in (labelled, soft, made) if part.any()]
        takes += [Take(part, *how) for part in parts for how in _training(recipe, found)]
    if judged:
        levels = [level for level in dict.fromkeys(recipe.tune.judge_levels) if level != "clean"]
        takes += [Take(frozenset(tracks[labelled]), level) for level in levels]
    return takes


def _training(recipe: Recipe, found: Materials) -> list[tuple[str, Drawn]]:
    settings, samples = recipe.augment, PIECE_CLIPS * recipe.clip_samples
    return [
        (_level(settings, k), Drawn(k, samples, recipe.seed, settings.perturb_kinds, found))
        for k in range(settings.perturb_takes)
    ]


def materials_of(
    settings: Augment, speech: tuple[str, ...], hear: Callable[[str], np.ndarray] | None = None
) -> Materials:
    """What `settings` perturb with: the recipe's folders, and `speech` for babble, read by `hear`.

    Raises:
        UsageError: a folder holds no audio.
    """
    if "noise" not in settings.perturb_kinds and "room" not in settings.perturb_kinds:
        return Materials()
    found = _recorded(settings.noise_folder, settings.room_folder)
    return replace(found, speech=speech if settings.babble else (), hear=hear)


@lru_cache(maxsize=4)
def _recorded(noises: str | None, rooms: str | None) -> Materials:
    # A folder in a bucket need not be listed for every epoch.
    return read_materials(noises=[noises] if noises else [], rooms=[rooms] if rooms else [])


def perturbed_piece(
    wave: np.ndarray,
    samples: int,
    level: str,
    rng: np.random.Generator,
    kinds: Sequence[str],
    materials: Materials,
) -> np.ndarray:
    """float32 ``[at most samples]``: a drawn piece of `wave`, perturbed; at any level, for it will be standardised."""
    spare = len(wave) - samples
    start = int(rng.integers(0, spare + 1)) if spare > 0 else 0
    return perturb(wave[start : start + samples], level, rng, kinds, materials)[0]


def judged_take(wave: np.ndarray, track: str, level: str) -> np.ndarray:
    """float32 ``[S]``: `wave` perturbed as the track's name and the level have it, without anybody's recordings."""
    rng = np.random.default_rng([zlib.crc32(track.encode()), LEVELS.index(level)])
    return perturb(wave, level, rng)[0]


def make_take(take: Take, track: str, wave: np.ndarray) -> np.ndarray:
    """float32 ``[S]``: the take of `track`, whose samples in the store are `wave`."""
    if take.drawn is None:
        return judged_take(wave, track, take.level)
    how = take.drawn
    # Its last number keeps it apart from the test sets of `synatt.perturbed`.
    rng = np.random.default_rng([how.seed, zlib.crc32(track.encode()), how.number, 3])
    return perturbed_piece(wave, how.samples, take.level, rng, how.kinds, how.materials)


def store_takes(folder: str, name: str, shard: Shard, takes: Sequence[Take], cache: str | None = None) -> list[str]:
    """Write the takes of a stored shard, called `name`, beside it, unless they are there; the names of their files.

    Args:
        cache: where a bucket's shard is copied to.
    """
    store, names = None, []
    for take in takes:
        rows = [(t, p) for t, p in zip(shard.tracks, shard.paths, strict=True) if t in take.tracks]
        if not rows:
            continue
        names.append(_name(name, [track for track, _ in rows], take))
        file = storage.join(folder, names[-1])
        if not storage.is_file(file):
            store = ClipStore(folder, [name], cache) if store is None else store
            _write(file, [(t, p) for t, p in rows if t in store], take, store)
    return names


def _name(name: str, tracks: list[str], take: Take) -> str:
    how = asdict(take.drawn) if take.drawn else None
    content = json.dumps([name, tracks, take.level, how])
    return f"{hashlib.sha256(content.encode()).hexdigest()[:20]}.arrow"


def _write(file: str, rows: list[tuple[str, str]], take: Take, store: ClipStore) -> None:
    number = take.drawn.number if take.drawn else None
    keys, waves, problems = [], [], []
    for track, path in rows:
        wave = store.wave(track)
        try:
            made = make_take(take, track, wave)
            if not np.isfinite(made).all():
                raise ValueError("samples that are not finite")
        except Exception as err:
            # Filters and codecs of several libraries, on recordings of any length: whatever they raise costs this take
            # alone, in whose place the recording stands as it is.
            why = f"{take.level}: {type(err).__name__}: {' '.join(str(err).split())[:150]}"
            problems.append({"kind": FAILED, "track": track, "path": path, "detail": why})
            made = wave
        keys.append(key(track, take.level, number))
        waves.append(to_int16(made).tobytes())
    write_waves(file, keys, waves, problems)
