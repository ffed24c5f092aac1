"""Which recipe keys a search may change, what it draws for them, and which sample was best. Pure functions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synatt.errors import UsageError
from synatt.recipe import Recipe, RecipeError
from synatt.recipefile import build_recipe, parse_yaml
from synatt.selection import Choice, Curves, choose

# The rest is fixed before a search begins: classes, decoded audio, folds, backbone, initial weights.
SEARCHABLE = ("train.", "augment.", "logmel.", "clip.seconds", "clip.pad", "head_units")
# Takes are made with the clip store, before a search begins: what decides them is fixed then.
DECIDES_TAKES = (
    *("augment.perturb_takes", "augment.perturb_levels", "augment.perturb_kinds"),
    *("augment.noise_folder", "augment.room_folder", "augment.babble", "clip.seconds"),
)
KINDS = {
    "uniform": "uniform(LOW, HIGH)",
    "loguniform": "loguniform(LOW, HIGH)",
    "randint": "randint(LOW, HIGH)",
    "choice": "choice(A, B, ...)",
}


@dataclass(frozen=True)
class Draw:
    """What is drawn for a recipe key: `kind` of `values` (two bounds, HIGH left out by randint; or the choices)."""

    key: str
    kind: str
    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Values that the recipe must take for the whole draw to be good."""
        return (self.values[0], self.values[1] - 1) if self.kind == "randint" else self.values


def parse_draw(text: str, recipe: Recipe) -> Draw:
    """The draw in ``key=kind(values)``, whose ends must be good values of `recipe`'s key.

    Raises:
        UsageError: one line that names the key and what is allowed.
    """
    key, sep, right = text.partition("=")
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", right)
    if not sep or not found or found[1] not in KINDS:
        raise UsageError(f"--search {text!r}: write KEY=DRAW, where DRAW is one of {', '.join(KINDS.values())}")
    if not key.startswith(SEARCHABLE):
        raise UsageError(f"--search {key}: only keys that start with {', '.join(SEARCHABLE)} can be searched")
    if key == "augment.perturb_takes" or (recipe.augment.perturb_takes and key in DECIDES_TAKES):
        raise UsageError(f"--search {key}: takes are made before a search; search with augment.perturb_takes=0")
    try:
        values = parse_yaml(f"[{found[2]}]")
    except ValueError:
        values = []
    draw = Draw(key, found[1], tuple(_plain(v) for v in values))
    _check(draw, text)
    for value in draw.ends():
        with_values(recipe, {key: value})
    return draw


def _plain(value: Any) -> Any:
    # YAML 1.1 reads 1e-5 (no dot) as text; people type it.
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _check(draw: Draw, text: str) -> None:
    if draw.kind == "choice":
        if len(draw.values) < 2:
            raise UsageError(f"--search {text!r}: two choices or more are needed")
        return
    wanted = int if draw.kind == "randint" else (int, float)
    if len(draw.values) != 2 or not all(isinstance(v, wanted) and not isinstance(v, bool) for v in draw.values):
        raise UsageError(f"--search {text!r}: {KINDS[draw.kind]} takes two numbers")
    low, high = draw.values
    if low >= high or (draw.kind == "loguniform" and low <= 0):
        positive = " and above 0" if draw.kind == "loguniform" else ""
        raise UsageError(f"--search {text!r}: LOW must be below HIGH{positive}")


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """`recipe` with some keys changed.

    Raises:
        RecipeError: a key is unknown or a value is bad.
    """
    plain = recipe.model_dump(mode="json")
    for key, value in values.items():
        *path, last = key.split(".")
        node: Any = plain
        for step in path:
            node = node.get(step) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise RecipeError(f"--search {key}: the recipe has no such key")
        node[last] = value
    return build_recipe(plain, origin=", ".join(f"{k}={v}" for k, v in values.items()))


def best_sample(samples: Sequence[Curves], one_standard_error: bool = False) -> tuple[int, Choice]:
    """(number of the sample, its choice of epochs) whose mean macro F1 over the folds peaks highest; ties: the first.

    Raises:
        ValueError: no sample has a finished epoch.
    """
    choices = {i: choose(curves, one_standard_error) for i, curves in enumerate(samples) if curves}
    if not choices:
        raise ValueError("no sample finished an epoch")
    best = max(choices, key=lambda i: (choices[i].macro_f1, -i))
    return best, choices[best]
