"""What is done to a clip: kinds and their parameters, drawn for a level of strength, and applied in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from synatt.errors import UsageError
from synatt.perturb import band, codecs, edit, gain, loss, noise, rooms
from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import Parameters

# In the order in which a recording meets them: the editor, the room, the microphone, the line.
MODULES: dict[str, ModuleType] = {
    "edit": edit,
    "room": rooms,
    "noise": noise,
    "gain": gain,
    "band": band,
    "codec": codecs,
    "loss": loss,
}
KINDS = tuple(MODULES)
# What the evaluation sets of SP Cup 2022 were perturbed with.
SPCUP_KINDS = ("room", "noise", "codec")
LEVELS = ("clean", "weak", "medium", "strong")
# How often a kind is drawn against the others: rooms, noise and codecs are what recordings meet most.
WEIGHTS = {"room": 3.0, "noise": 3.0, "codec": 3.0}
# How many kinds may meet in one clip.
MOST = {"weak": 1, "medium": 2, "strong": 2}


@dataclass(frozen=True)
class Perturbation:
    """Steps in the order in which they are applied: (kind, its parameters)."""

    steps: tuple[tuple[str, Parameters], ...] = ()

    @property
    def kind(self) -> str:
        """'none', or the kinds in order: 'noise', 'room+codec', ..."""
        return "+".join(kind for kind, _ in self.steps) or "none"

    @property
    def parameters(self) -> Parameters:
        """All settings by name; no two kinds share one."""
        return {name: value for _, values in self.steps for name, value in values.items()}


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """`kinds` in the order of `KINDS`, each once.

    Raises:
        UsageError: one is not known, or there is none.
    """
    return _in_order(kinds, KINDS, "kind of perturbation")


def check_levels(levels: Sequence[str]) -> tuple[str, ...]:
    """`levels` in the order of `LEVELS`, each once.

    Raises:
        UsageError: one is not known, or there is none.
    """
    return _in_order(levels, LEVELS, "perturbation level")


def _in_order(asked: Sequence[str], there: tuple[str, ...], what: str) -> tuple[str, ...]:
    if unknown := [name for name in asked if name not in there]:
        raise UsageError(f"no {what} {unknown[0]!r}; there are {', '.join(there)}")
    if not asked:
        raise UsageError(f"no {what} is given; there are {', '.join(there)}")
    return tuple(name for name in there if name in asked)


def choose(
    level: str, rng: np.random.Generator, kinds: Sequence[str] = KINDS, materials: Materials = NOTHING
) -> Perturbation:
    """A drawn perturbation: one kind (weak), or one or two, evenly (medium, strong); nothing at all for clean.

    Rooms, noise and codecs are drawn three times as often as the other kinds.

    Raises:
        UsageError: no such level or kind.
    """
    check_levels([level])
    if level == "clean":
        return Perturbation()
    ordered = check_kinds(kinds)
    count = min(int(rng.integers(1, MOST[level] + 1)), len(ordered))
    weight = np.array([WEIGHTS.get(kind, 1.0) for kind in ordered])
    chosen = set(rng.choice(len(ordered), count, replace=False, p=weight / weight.sum()).tolist())
    drawn = [(kind, MODULES[kind].draw(level, rng, materials)) for i, kind in enumerate(ordered) if i in chosen]
    return Perturbation(tuple(drawn))


def apply(
    wave: np.ndarray, chosen: Perturbation, rng: np.random.Generator, materials: Materials = NOTHING
) -> np.ndarray:
    """float32 ``[S]``: `wave` after all steps of `chosen`.

    Raises:
        UsageError: a step needs a recording that is not among the materials.
    """
    for kind, values in chosen.steps:
        wave = MODULES[kind].apply(wave, rng, materials, **values)
    return wave.astype(np.float32)


def perturb(
    wave: np.ndarray,
    level: str,
    rng: np.random.Generator,
    kinds: Sequence[str] = KINDS,
    materials: Materials = NOTHING,
) -> tuple[np.ndarray, str, Parameters]:
    """`wave` at a level of perturbation, the kind, and its parameters.

    The same as `apply` of what `choose` draws from the same generator.
    """
    chosen = choose(level, rng, kinds, materials)
    return apply(wave, chosen, rng, materials), chosen.kind, chosen.parameters
