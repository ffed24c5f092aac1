"""The networks that a recipe's backbones become: one each, or one for each fold of cross-fitted soft labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synatt.crossfit import soft_folds, track_keys
from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.manifest import Manifest
from synatt.openset import Confidence
from synatt.outliers import ORIGINAL
from synatt.recipe import Backbone, Recipe


@dataclass(frozen=True)
class Member:
    """A network to train.

    Attributes:
        recipe: with this backbone alone, and the decision that was chosen for it.
        untaught: tracks whose soft labels it is not taught.
        taught: int64, keys of those that it is; None where soft labels are not cross-fitted.
    """

    recipe: Recipe
    backbone: Backbone
    epochs: int
    untaught: frozenset[str] = frozenset()
    taught: np.ndarray | None = None

    def examples(self, fit: Examples, rows: Manifest) -> Examples:
        """Those of `fit`, which are of `rows`, that it is trained on."""
        if not self.untaught:
            return fit
        mine = set(self.rows(rows).column("track"))
        kept = np.array([track in mine for track in fit.tracks], bool)
        return Examples(tuple(track for track in fit.tracks if track in mine), fit.target[kept])

    def rows(self, chosen: Manifest) -> Manifest:
        """Those of `chosen` that it is trained on: neither untaught ones nor copies of them."""
        return without(chosen, self.untaught)


def without(rows: Manifest, tracks: frozenset[str]) -> Manifest:
    """`rows` but those of `tracks`, and what was made of them."""
    for name in ("track", ORIGINAL):
        if tracks and name in rows.table.column_names:
            gone = pc.is_in(rows.table.column(name), value_set=pa.array(sorted(tracks), pa.string()))
            rows = rows.where(pc.invert(gone))
    return rows


def members(
    recipe: Recipe,
    backbones: Sequence[Backbone],
    stage: int,
    soft: Manifest | None,
    epochs: Mapping[str, int],
    confidences: Mapping[str, Confidence],
) -> list[Member]:
    """The networks to train: each backbone, once for each fold of soft labels where these are cross-fitted.

    Args:
        epochs, confidences: what was chosen, by backbone; the recipe's own where a name is absent.

    Raises:
        UsageError: there are fewer soft labels than folds.
    """
    made = []
    for backbone in backbones:
        name, count = backbone.name, epochs.get(backbone.name, backbone.epochs[stage])
        mine = confidences[name].into(recipe) if name in confidences else recipe
        for k, untaught, taught in soft_label_folds(recipe, soft):
            own = backbone if k is None else backbone.model_copy(update={"name": f"{name}-fold{k}"})
            mine = mine.model_copy(update={"backbones": (own,)})
            made.append(Member(mine, own, count, untaught, taught))
    return made


def soft_label_folds(
    recipe: Recipe, soft: Manifest | None
) -> list[tuple[int | None, frozenset[str], np.ndarray | None]]:
    """(fold, its tracks, keys of all others) for each fold of soft labels; (None, none, None) where there is but one.

    Raises:
        UsageError: there are fewer soft labels than folds.
    """
    count = recipe.train.soft_label_folds
    if soft is None or count == 1:
        return [(None, frozenset(), None)]
    if len(soft) < count:
        raise UsageError(f"train.soft_label_folds={count}: there are soft labels of {len(soft)} tracks only")
    track = np.array(soft.column("track"), object)
    fold = soft_folds(list(track), count)
    return [(k, frozenset(track[fold == k]), track_keys(list(track[fold != k]))) for k in range(count)]
