"""What is to be rendered: utterances, and the clips that are made of each. Nothing is rendered here."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from synatt.constants import UNKNOWN
from synatt.errors import UsageError
from synatt.quickstart.roster import CLASSES, Algorithm
from synatt.quickstart.sentences import scripts

REVISION = 6  # part of every track's name: raise it when the same plan would give other samples
SETS = (("train", "clean"), ("eval", "clean"), ("eval", "weak"), ("eval", "strong"))
SOURCES = ("espeak_formant", "piper_vits")  # what copies are made of, in turn


@dataclass(frozen=True)
class Sizes:
    """Clips of each generator in the training set, and in each of the three evaluation sets."""

    train_known: int = 72
    train_unknown: int = 48
    eval_known: int = 20
    eval_unknown: int = 12

    def scaled(self, scale: float) -> "Sizes":
        """All sizes times `scale`, at least two clips each (one per source)."""
        if not scale > 0:
            raise UsageError(f"scale {scale:g}: a number above 0 is needed")
        return Sizes(*(max(2, round(n * scale)) for n in vars(self).values()))

    def count(self, split: str, algorithm: Algorithm) -> int:
        """Clips of `algorithm` in `split` ('train', or 'eval' for each level); 0 where its role keeps it out."""
        if algorithm.role == "known":
            return self.train_known if split == "train" else self.eval_known
        if algorithm.role == "train_unknown":
            return self.train_unknown if split == "train" else 0
        return self.eval_unknown if split == "eval" else 0


@dataclass(frozen=True)
class Utterance:
    """One sentence said once: the source of a clip of its own generator, and of copies."""

    split: str
    level: str
    generator: str
    voice: str
    text: str
    key: tuple[int, ...]


@dataclass(frozen=True)
class Clip:
    """One file of the corpus: `generator` applied to (or the same as that of) `utterance`."""

    track: str
    generator: str
    utterance: Utterance
    key: tuple[int, ...]

    @property
    def label(self) -> int:
        name = self.generator if self.generator in CLASSES else UNKNOWN
        return CLASSES.index(name)


def plan(seed: int, sizes: Sizes, algorithms: tuple[Algorithm, ...]) -> list[Clip]:
    """Every clip of the corpus. An algorithm more or less changes none of the others' clips.

    In each set all synthesizers read the same script, and all copies are made of the same utterances, half of them
    espeak's and half piper's: neither the words nor the voice under a copy tell its class.
    """
    reads = {s: scripts_of(s, seed, sizes, algorithms) for s in ("train", "eval")}
    clips: list[Clip] = []
    for split, level in SETS:
        script = reads[split][level]
        said = {a.name: _utterances(a, split, level, script, seed) for a in algorithms if not a.is_copy}
        for algorithm in algorithms:
            count = sizes.count(split, algorithm)
            sources = _in_turn([said[name] for name in SOURCES]) if algorithm.is_copy else said[algorithm.name]
            clips += [_clip(algorithm.name, utterance, seed) for utterance in sources[:count]]
    return clips


def scripts_of(split: str, seed: int, sizes: Sizes, algorithms: tuple[Algorithm, ...]) -> dict[str, list[str]]:
    """The sentences of each level of `split`, as many as its busiest algorithm reads."""
    levels = [level for s, level in SETS if s == split]
    longest = max(sizes.count(split, a) for a in algorithms)
    drawn = scripts(split, [longest] * len(levels), np.random.default_rng([seed, *split.encode()]))
    return dict(zip(levels, drawn, strict=True))


def _utterances(a: Algorithm, split: str, level: str, script: list[str], seed: int) -> list[Utterance]:
    voices = (a.voices or {})[split]
    out = []
    for i, text in enumerate(script):
        voice = voices[i % len(voices)]
        out.append(Utterance(split, level, a.name, voice, text, _key(seed, split, level, a.name, voice, text)))
    return out


def _in_turn(lists: list[list[Utterance]]) -> list[Utterance]:
    return [utterance for group in zip(*lists, strict=True) for utterance in group]


def _clip(generator: str, utterance: Utterance, seed: int) -> Clip:
    key = _key(seed, generator, *(str(word) for word in utterance.key))
    # The name follows from the content and says nothing about it; in evaluation it must not give the class away.
    return Clip(f"{utterance.split}_{key[0]:08x}{key[1]:08x}", generator, utterance, key)


def _key(seed: int, *words: str) -> tuple[int, ...]:
    text = "\x1f".join([str(REVISION), str(seed), *words])
    return tuple(np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), "<u4").tolist())


def jobs(clips: list[Clip]) -> list[list[Clip]]:
    """`clips` grouped by utterance, which is then said only once for all its copies."""
    groups: dict[Utterance, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.utterance].append(clip)
    return list(groups.values())
