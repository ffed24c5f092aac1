"""Plain English sentences of two to four seconds, written here, and apart between training and evaluation.

A sentence is subject + action + circumstance. Training and evaluation have their own subjects and their own
circumstances, so that no sentence, and no more than the action of one, is heard on both sides.
"""

import itertools

import numpy as np

from synatt.errors import UsageError

SUBJECTS = {
    "train": (
        "The young teacher", "A quiet neighbour", "My older brother", "The station master", "Our new doctor",
        "The tired farmer", "One of the sailors", "The bakery owner", "A retired judge", "The night porter",
        "Her best friend", "The local mayor",
    ),
    "eval": (
        "The piano tuner", "A foreign student", "My youngest cousin", "The harbour pilot", "Their first guide",
        "The careful nurse", "Two of the players", "The village priest", "A famous painter", "The lift engineer",
        "His former boss", "The bus driver",
    ),
}  # fmt: skip
ACTIONS = (
    "left a green umbrella", "found seven old coins", "asked for fresh water", "waited with the others",
    "carried a heavy box", "read the morning paper", "fixed the broken window", "heard a strange noise",
    "bought some yellow flowers", "forgot the house keys", "watched the evening show", "wrote a short letter",
    "served hot vegetable soup", "told a funny story",
)  # fmt: skip
CIRCUMSTANCES = {
    "train": (
        "behind the school gate.", "before the long weekend.", "near the frozen lake.", "while the choir sang.",
        "under the stone bridge.", "after a cold breakfast.", "beside the empty fountain.", "on the first of May.",
        "because the shop was closed.", "at the end of the road.",
    ),
    "eval": (
        "in front of the museum.", "during the winter storm.", "close to the railway.", "until the lights went out.",
        "above the little theatre.", "without saying a word.", "across the busy market.", "on a Thursday evening.",
        "so that nobody would worry.", "by the top of the hill.",
    ),
}  # fmt: skip


def sentences(split: str) -> list[str]:
    """Every sentence of `split` ('train' or 'eval'), in a fixed order."""
    if split not in SUBJECTS:
        raise UsageError(f"no sentences for split {split!r}; there are {', '.join(SUBJECTS)}")
    return [" ".join(parts) for parts in itertools.product(SUBJECTS[split], ACTIONS, CIRCUMSTANCES[split])]


def scripts(split: str, counts: list[int], rng: np.random.Generator) -> list[list[str]]:
    """One list of `counts[i]` sentences for each i; no sentence stands twice, neither in a list nor across lists.

    Raises:
        UsageError: more sentences are asked for than there are.
    """
    every = sentences(split)
    if sum(counts) > len(every):
        raise UsageError(f"{sum(counts)} {split} sentences were asked for, {len(every)} exist: take a smaller scale")
    drawn = iter(rng.permutation(len(every)).tolist())
    return [[every[i] for i in itertools.islice(drawn, count)] for count in counts]
