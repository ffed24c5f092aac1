"""Who validates on whom: cross-validation folds by the method's rules, the same whatever order the rows come in.

All assignments are int8 ``[rows]``, the fold in which a row validates, 0 to ``folds - 1``. Rows are brought into the
order of their keys before anything is drawn.
"""

import logging
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt.constants import unknown_index
from synatt.manifest import Manifest, build

log = logging.getLogger("synatt")

FOLDS = 5
SEED = 42
# A class of two voices would be judged on the one that is no part of its training, by what a single voice taught: that
# says more of the two voices than of the class.
FEWEST_SPEAKERS = 3
# So is it where one voice has most of a class: the fold that holds it out has next to nothing to train the class on.
LARGEST_SHARE = 0.5


def stratified(strata: np.ndarray, keys: np.ndarray, folds: int = FOLDS, seed: int = SEED) -> np.ndarray:
    """Folds with the same mix of `strata` (the method's rule for SP Cup and LJSpeech, by label).

    A stratum with fewer rows than folds is missing in some of them.

    Args:
        strata: one value per row, text or integers.
        keys: one unique text per row.
    """
    from sklearn.model_selection import StratifiedKFold

    order = np.argsort(keys.astype(str), kind="stable")
    codes = _codes(strata)[order]
    if len(codes) == 0 or np.bincount(codes).max() < folds:
        # scikit-learn refuses these: deal the rows out in turn, stratum by stratum.
        rng = np.random.default_rng(seed)
        dealt = np.lexsort((rng.random(len(codes)), codes))
        return _unsort(order, _place(dealt, np.arange(len(codes)) % folds))
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return _unsort(order, _from_splits(splitter.split(codes, codes), len(codes)))


def grouped(groups: np.ndarray, keys: np.ndarray, folds: int = FOLDS, seed: int = SEED) -> np.ndarray:
    """Folds of about equal size that share no group (the method's rule for VCTK and LibriSpeech, by speaker).

    With fewer groups than folds, each group has a fold of its own and the last folds are empty.

    Args:
        groups: one value per row, text or integers.
        keys: one unique text per row.
    """
    from sklearn.model_selection import GroupKFold

    order = np.argsort(keys.astype(str), kind="stable")
    codes = _shuffled_codes(groups, seed)[order]
    if len(np.unique(codes)) < folds:
        return _unsort(order, codes.astype(np.int8))
    splitter = GroupKFold(n_splits=folds)
    return _unsort(order, _from_splits(splitter.split(codes, groups=codes), len(codes)))


def stratified_grouped(
    strata: np.ndarray, groups: np.ndarray, keys: np.ndarray, folds: int = FOLDS, seed: int = SEED
) -> np.ndarray:
    """Folds that share no group and have as even a mix of `strata` as that allows (the method's rule for Synthetic).

    With fewer groups than folds, each group has a fold of its own and the last folds are empty.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    order = np.argsort(keys.astype(str), kind="stable")
    codes, blocks = _codes(strata)[order], _shuffled_codes(groups, seed)[order]
    if len(np.unique(blocks)) < folds:
        return _unsort(order, blocks.astype(np.int8))
    if np.bincount(codes).max() < folds:
        return grouped(groups, keys, folds, seed)  # too few rows of any stratum to balance
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return _unsort(order, _from_splits(splitter.split(codes, codes, groups=blocks), len(codes)))


def by_speaker(
    labels: np.ndarray,
    speakers: np.ndarray,
    keys: np.ndarray,
    folds: int = FOLDS,
    seed: int = SEED,
    fewest: int = FEWEST_SPEAKERS,
) -> np.ndarray:
    """Folds for any labelled set: by speaker where that is possible, else stratified by label.

    Rows without a speaker are stratified by label. So are the rows of a class of fewer than `fewest` speakers, or of
    which one speaker has more than `LARGEST_SHARE`: of a class that has a single one nothing would be left to train on.
    `check` names the speakers that are then shared.

    Args:
        labels: class per row.
        speakers: text per row, or null.
        keys: one unique text per row.
        fewest: speakers that a class must have to be grouped by them, at least 2.
    """
    frame = pd.DataFrame({"label": labels, "speaker": speakers})
    per_class = frame.groupby("label")["speaker"].transform("nunique").to_numpy()
    own = frame.groupby(["label", "speaker"])["speaker"].transform("size")
    largest = (own / frame.groupby("label")["speaker"].transform("count")).groupby(frame["label"]).transform("max")
    group = frame["speaker"].notna().to_numpy() & (per_class >= max(2, fewest)) & (largest <= LARGEST_SHARE).to_numpy()
    out = np.zeros(len(frame), dtype=np.int8)
    if group.any():
        out[group] = stratified_grouped(labels[group], speakers[group], keys[group], folds, seed)
    if not group.all():
        out[~group] = stratified(labels[~group], keys[~group], folds, seed)
    return out


def fold_of(m: Manifest, folds: int = FOLDS, seed: int = SEED, unseen_generators: bool = False) -> np.ndarray:
    """int8 ``[rows]``: the fold of each labelled training row by `by_speaker`, -1 for all other rows.

    Training rows have a label and the split 'train' or none.

    Args:
        unseen_generators: rows of the unknown class are grouped by generator (where it is not known, by source), so
            that each fold is judged on unknown speech of generators that it was not trained on.
    """
    frame = _frame(m)
    training = _training(frame)
    out = np.full(len(frame), -1, dtype=np.int8)
    if unseen_generators:
        apart = training & _is_unknown(frame, m)
        rows = frame[apart]
        if len(rows):
            made_by = rows["generator"].fillna(rows["source"]).fillna("")
            out[apart] = grouped(made_by.to_numpy(), rows["track"].to_numpy(), folds, seed)
        training = training & ~apart
    if training.any():
        rows = frame[training]
        out[training] = by_speaker(
            rows["label"].to_numpy(dtype=np.int64), rows["speaker"].to_numpy(), rows["track"].to_numpy(), folds, seed
        )
    return out


def with_folds(m: Manifest, folds: int = FOLDS, seed: int = SEED, unseen_generators: bool = False) -> Manifest:
    """`m` with a fold for every labelled training row; folds that it brings are kept.

    Its own folds are drawn anew, all of them, when they are not `folds` many; and those of unknown speech with
    `unseen_generators`, see `fold_of`.
    """
    frame = _frame(m)
    training = _training(frame)
    own = frame["fold"].notna().to_numpy() & training
    drawn = fold_of(m, folds, seed, unseen_generators)
    if unseen_generators:
        own = own & ~_is_unknown(frame, m)
    if own.any():
        count = int(frame["fold"][own].max()) + 1
        if count == folds:
            drawn[own] = frame["fold"][own].to_numpy(dtype=np.int8)
        else:
            log.info("the manifest has %d folds, %d are wanted: drawn anew", count, folds)
    values = pa.array(drawn, mask=drawn < 0)
    at = m.table.column_names.index("fold")
    return build(m.table.set_column(at, "fold", values).replace_schema_metadata(None), m.classes)


@dataclass(frozen=True)
class FoldCheck:
    """What makes validation scores differ from what an unseen voice or generator would get.

    Attributes:
        speakers: speakers that stand in several folds, with those folds.
        generators: generators of the unknown class that stand in several folds, with those folds (those of known
            classes must).
        missing: for each fold that has any row, the classes without a row in it.
        untrained: for each fold, the classes that have no row outside of it: nothing is left to train them on.
    """

    speakers: dict[str, list[int]] = field(default_factory=dict)
    generators: dict[str, list[int]] = field(default_factory=dict)
    missing: dict[int, list[str]] = field(default_factory=dict)
    untrained: dict[int, list[str]] = field(default_factory=dict)


def check(m: Manifest) -> FoldCheck:
    """Leaks between the folds of `m`, and classes that some fold lacks; rows without a fold are left out."""
    frame = _frame(m)
    frame = frame[frame["fold"].notna() & frame["label"].notna()].astype({"fold": int, "label": int})
    classes = m.classes or tuple(str(i) for i in range(int(frame["label"].max()) + 1 if len(frame) else 0))
    unknown = frame[_is_unknown(frame, m)]
    pairs = sorted({(int(f), int(c)) for f, c in zip(frame["fold"], frame["label"], strict=True)})
    present = {fold: {c for f, c in pairs if f == fold} for fold, _ in pairs}
    everywhere = {c for _, c in pairs}
    missing = {f: [classes[c] for c in sorted(everywhere - have)] for f, have in present.items()}
    untrained: dict[int, list[str]] = {}
    for label in sorted(everywhere):
        where = [f for f, have in present.items() if label in have]
        if len(where) == 1:
            untrained.setdefault(where[0], []).append(classes[label])
    return FoldCheck(
        _shared(frame, "speaker"), _shared(unknown, "generator"), {f: c for f, c in missing.items() if c}, untrained
    )


def _shared(frame: pd.DataFrame, column: str) -> dict[str, list[int]]:
    folds = frame.dropna(subset=[column]).groupby(column)["fold"].agg(lambda f: sorted(set(f)))
    return {str(name): [int(f) for f in where] for name, where in folds.items() if len(where) > 1}


def _frame(m: Manifest) -> pd.DataFrame:
    names = ["track", "label", "speaker", "generator", "source", "split", "fold"]
    return m.table.select(names).to_pandas(types_mapper={pa.int8(): pd.Int8Dtype()}.get)


def _training(frame: pd.DataFrame) -> np.ndarray:
    split = frame["split"]
    return (frame["label"].notna() & (split.isna() | (split == "train"))).to_numpy(dtype=bool)


def _is_unknown(frame: pd.DataFrame, m: Manifest) -> np.ndarray:
    unknown = unknown_index(m.classes or ())
    return np.zeros(len(frame), bool) if unknown is None else (frame["label"] == unknown).fillna(False).to_numpy(bool)


def _codes(values: np.ndarray) -> np.ndarray:
    """Numbers 0.. in the order of the sorted values."""
    return np.unique(values.astype(str), return_inverse=True)[1]


def _shuffled_codes(groups: np.ndarray, seed: int) -> np.ndarray:
    # scikit-learn breaks ties between equally large groups by their number: let the seed decide.
    codes = _codes(groups)
    return np.random.default_rng(seed).permutation(codes.max() + 1)[codes] if len(codes) else codes


def _from_splits(splits: Any, n: int) -> np.ndarray:
    out = np.zeros(n, dtype=np.int8)
    for fold, (_, held_out) in enumerate(splits):
        out[held_out] = fold
    return out


def _place(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.zeros(len(rows), dtype=np.int8)
    out[rows] = values
    return out


def _unsort(order: np.ndarray, sorted_values: np.ndarray) -> np.ndarray:
    return _place(order, sorted_values)
