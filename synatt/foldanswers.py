"""What the folds of a `tune` run said of the rows they held out, and what is read off it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synatt.constants import unknown_index
from synatt.feed import Examples
from synatt.judging import Judged, decided_f1, fitted_elsewhere
from synatt.manifest import Manifest
from synatt.openset import Confidence
from synatt.recipe import Recipe
from synatt.unseen import unseen_scores

# Macro F1 by the decision between known and unknown, in the table of curves.
DECIDED = "decided_macro_f1"


@dataclass(frozen=True)
class FoldAnswers:
    """Answers of all trials, as they lie below `root`.

    Attributes:
        generator: of each track; one that is not known is its source, as the folds have it.
        folds: rows that each fold trains on, and those that it holds out.
    """

    recipe: Recipe
    generator: Mapping[str, str]
    folds: Mapping[int, tuple[Examples, Examples]]
    root: str

    @classmethod
    def of(
        cls, recipe: Recipe, rows: Manifest, folds: Mapping[int, tuple[Examples, Examples]], root: str
    ) -> "FoldAnswers":
        named = zip(*(rows.column(name) for name in ("track", "generator", "source")), strict=True)
        return cls(recipe, {track: made_by or source or "" for track, made_by, source in named}, folds, root)

    @property
    def unknown(self) -> int | None:
        return unknown_index(self.recipe.require_classes())

    @property
    def open_set(self) -> bool:
        """Unknown rows are of generators or algorithms that the fold was not trained on."""
        return self.unknown is not None and self.recipe.tune.judges_unseen

    def judged(self, backbone: str, epoch: int) -> dict[int, Judged]:
        """The held-out rows of every fold, at all levels they are judged at, after `epoch`."""
        from synatt.distributed.tuning import held_out_rows

        levels, found = self.recipe.tune.judge_levels, {}
        for fold, (_, valid) in self.folds.items():
            held = held_out_rows(self.root, backbone, fold, epoch)
            found[fold] = Judged(
                held.logits.reshape(-1, held.logits.shape[-1]),
                np.tile(valid.target.argmax(axis=1), len(levels)),
                np.tile([self.generator[track] for track in valid.tracks], len(levels)),
                None if held.unlikeness is None else held.unlikeness.ravel(),
                np.repeat(levels, len(valid.tracks)),
            )
        return found

    def confidence(self, judged: Mapping[int, Judged]) -> Confidence:
        """What fits the held-out rows of all folds."""
        return Judged.together([*judged.values()]).fit(self.unknown, self.open_set)

    def with_decisions(self, curves: pd.DataFrame) -> pd.DataFrame:
        """`curves` with a column `DECIDED`: macro F1 by the decision that the other folds' rows have fitted."""
        unknown = self.unknown
        if unknown is None or not self.open_set:
            return curves
        curves = curves.assign(**{DECIDED: np.nan})
        reached = curves[curves["macro_f1"].notna()].groupby(["backbone", "epoch"]).size()
        for backbone, epoch in reached.index[reached == len(self.folds)]:
            for fold, score in decided_f1(self.judged(backbone, int(epoch)), unknown).items():
                at = (curves["backbone"] == backbone) & (curves["epoch"] == epoch) & (curves["fold"] == fold)
                curves.loc[at, DECIDED] = score
        return curves

    def held_out(self, judged: Mapping[int, Judged]) -> pd.DataFrame:
        """A row for each fold, level and held-out track, and its `p_<class>`.

        Probabilities are by the decision that the other folds' rows have fitted. Empty where nothing is decided so.
        """
        if self.unknown is None or not self.open_set:
            return pd.DataFrame()
        parts = []
        for fold, rows in judged.items():
            assert rows.level is not None
            tracks = np.tile(np.array(self.folds[fold][1].tracks, object), len(self.recipe.tune.judge_levels))
            p = rows.probabilities(fitted_elsewhere(judged, fold, self.unknown), self.unknown)
            columns = {f"p_{name}": p[:, c] for c, name in enumerate(self.recipe.require_classes())}
            parts.append(pd.DataFrame({"fold": fold, "level": rows.level, "track": tracks, **columns}))
        return pd.concat(parts, ignore_index=True)

    def unseen(self, judged: Mapping[int, Judged]) -> pd.DataFrame:
        """`unseen_scores` of the folds; empty where none held unknown rows."""
        if self.unknown is None or not self.open_set:
            return pd.DataFrame()
        return pd.DataFrame(unseen_scores(judged, self.unknown))
