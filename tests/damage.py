"""Hundreds of damaged, odd and good recordings made from real speech, the same ones for the same seed."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.badfiles import RATE_HZ, encoded, settled
from tests.damagekinds import MAKERS, clip

NAMES = [
    "Zoë",
    "语音",
    "🎙🗣️ talk",
    "new\nline",
    "tab\tbell\a",
    "صوت",
    "\u202eright to left",
    "e\u0301 and é",
    "ｆｕｌｌ",
    " two  spaces ",
    "a?b#c%20&d=e",
    "'quote\" back\\slash",
    "$(HOME) `id` ;",
    "-dash",
    "CON",
    "..dots..",
    "*[a-z]{1,2}",
    "zero\u200bwidth",
    "s3:",
    "0",
    "n" * 240,
]


@dataclass(frozen=True)
class Damaged:
    """A recording and what must come of it.

    Attributes:
        track: unique; begins with the kind of damage, as in 'truncated-017'.
        path: may lead to no regular file, or nowhere.
        expect: 'ok', the kind of the `AudioError` it must give, or None where both samples and an error are right.
    """

    track: str
    path: str
    expect: str | None

    @property
    def kind(self) -> str:
        return self.track.rpartition("-")[0]


def make_damage(folder: Path, wave: np.ndarray, seed: int, count: int = 260) -> list[Damaged]:
    """Write `count` recordings below `folder`: some good, most of them damaged, of every kind there is.

    Args:
        wave: float ``[S]`` at 16 kHz, 2 s or more of real speech.
        count: at least 100, for each kind to be there.
    """
    made = [*_odd_places(folder, wave), *_odd_names(folder, wave, seed)]
    for number, (kind, make) in enumerate(itertools.cycle(MAKERS.items())):
        if len(made) >= count:
            break
        suffix, content, expect = make(np.random.default_rng([seed, number]), wave)
        path = folder / f"{kind}_{number:03d}{suffix}"
        path.write_bytes(content)
        made.append(Damaged(f"{kind}-{number:03d}", str(path), expect))
    return made[:count]


def _odd_names(folder: Path, wave: np.ndarray, seed: int) -> list[Damaged]:
    """Good recordings of which only the name is odd."""
    rng = np.random.default_rng([seed, 1 << 20])
    paths = [f"{name}.wav" for name in NAMES] + ["Two names.wav", "two names.wav", "no suffix", ".hidden.wav"]
    for name in paths:
        (folder / name).write_bytes(encoded(clip(rng, wave)))
    return [Damaged(f"name-{i:03d}", str(folder / name), "ok") for i, name in enumerate(paths)]


def _odd_places(folder: Path, wave: np.ndarray) -> list[Damaged]:
    """Paths that lead to no regular file, or on a detour."""
    good = encoded(np.asarray(wave[:RATE_HZ], np.float32))
    (folder / "target.wav").write_bytes(good)
    (folder / "folder.wav").mkdir()
    (folder / "link.wav").symlink_to("target.wav")
    os.link(folder / "target.wav", folder / "hard_link.wav")
    (folder / "dangling_link.wav").symlink_to("nothing_here.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "loop_a.wav").symlink_to("loop_b.wav")
    (folder / "loop_b.wav").symlink_to("loop_a.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    expected = {
        "folder.wav": "not_audio",
        "link.wav": "ok",
        "hard_link.wav": "ok",
        "dangling_link.wav": "missing",
        "missing.wav": "missing",
        "loop.wav": "unreachable",
        "loop_a.wav": "unreachable",
        "pipe.wav": "not_audio",
        "device.wav": "not_audio",
        "target.wav/x.wav": "unreachable",
        "folder.wav/missing.wav": "missing",
        "n" * 300 + ".wav": "unreachable",
    }
    return [Damaged(f"place-{i:03d}", str(folder / name), kind) for i, (name, kind) in enumerate(expected.items())]


def fuzz(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` variants of `data`: bytes flipped, replaced, inserted, deleted, swapped, cut off, most in the header."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        variant = bytearray(data)
        for _ in range(int(rng.integers(1, 8))):
            if variant:
                _mutate(variant, rng)
        # Ogg's checksums keep damage from its codecs, unless somebody means to do harm.
        yield settled(bytes(variant)) if rng.random() < 0.7 else bytes(variant)


def _mutate(data: bytearray, rng: np.random.Generator) -> None:
    reach = len(data) if rng.random() < 0.4 else min(len(data), int(rng.choice([64, 128, 512, 4096])))
    at, other = (int(place) for place in rng.integers(0, reach, 2))
    length = int(rng.integers(1, 9)) if rng.random() < 0.7 else int(rng.integers(1, 600))
    match int(rng.integers(8)):
        case 0 | 1:
            data[at] ^= 1 << int(rng.integers(8))
        case 2:
            data[at : at + 4] = bytes(rng.choice([0, 127, 128, 255], min(4, len(data) - at)).tolist())
        case 3:
            data[at:at] = rng.bytes(length)
        case 4:
            del data[at : at + length]
        case 5:
            data[at : at + length], data[other : other + length] = data[other : other + length], data[at : at + length]
        case 6:
            # Chunks upon chunks: parsers that give up on a header after 100 kB are seen here.
            data[at:at] = data[other : other + length] * int(rng.integers(1, 1 + 200_000 // length))
        case _ if rng.random() < 0.4:
            del data[at:]
