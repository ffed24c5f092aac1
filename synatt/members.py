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
        made_of: the recipe's backbone.
        recipe: with `backbone` alone, and the decision that was chosen for it.
        backbone: the same as `made_of`, but for the name of a fold.
        untaught: tracks whose soft labels it is not taught.
        taught: int64, keys of those that it is; None where soft labels are not cross-fitted.
    """

    made_of: Backbone
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
        kept = [i for i, track in enumerate(fit.tracks) if track in mine]
        return Examples(tuple(fit.tracks[i] for i in kept), fit.target[kept])

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
    made, folds = [], soft_label_folds(recipe, soft)
    keys = [track_keys([t for other in folds if other is not fold for t in other]) for fold in folds]
    for backbone in backbones:
        name, count = backbone.name, epochs.get(backbone.name, backbone.epochs[stage])
        mine = confidences[name].into(recipe) if name in confidences else recipe
        if not folds:
            made.append(Member(backbone, mine.model_copy(update={"backbones": (backbone,)}), backbone, count))
        for k, untaught in enumerate(folds):
            own = backbone.model_copy(update={"name": f"{name}-fold{k}"})
            alone = mine.model_copy(update={"backbones": (own,)})
            made.append(Member(backbone, alone, own, count, untaught, keys[k]))
    return made


def soft_label_folds(recipe: Recipe, soft: Manifest | None) -> list[frozenset[str]]:
    """The tracks of each fold of soft labels; no fold where they are not cross-fitted.

    Raises:
        UsageError: there are fewer soft labels than folds.
    """
    count = recipe.train.soft_label_folds
    if soft is None or count == 1:
        return []
    if len(soft) < count:
        raise UsageError(f"train.soft_label_folds={count}: there are soft labels of {len(soft)} tracks only")
    track = np.array(soft.column("track"), object)
    fold = soft_folds(list(track), count)
    return [frozenset(track[fold == k]) for k in range(count)]
