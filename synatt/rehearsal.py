"""The second round rehearsed on folds: the rows that a fold holds out take part as the unlabelled recordings will.

Networks that were taught soft labels of the speech they are to tell call more unknown, and know generators that no
labelled row is of. A decision that is fitted where held-out rows were kept from all training is too strict for them.
So in a rehearsal the first round's networks of a fold, which have never met the rows it holds out, give these their
soft labels, and the second round's are taught those of all but one part of them, which they answer for.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from synatt import storage
from synatt.crossfit import soft_folds, track_keys
from synatt.errors import UsageError
from synatt.feed import Examples

# What the folds' networks of a `tune` run said of the rows they held out, below its output.
HELD_OUT_FILE = "held_out.parquet"

Folds = dict[int, tuple[Examples, Examples]]


def read_held_out(folder: str) -> pd.DataFrame:
    """The table that `tune` wrote: a row for each backbone, fold, level of perturbation and track, and `p_<class>`.

    Raises:
        UsageError: there is none.
    """
    path = storage.join(folder, HELD_OUT_FILE)
    if not storage.is_file(path):
        raise UsageError(
            f"--first-round: no {HELD_OUT_FILE} in {folder}; it is written by tune without --soft, where folds leave "
            "unknown generators or algorithms out"
        )
    return storage.read_table(path).to_pandas()


def soft_labels(said: pd.DataFrame, classes: tuple[str, ...]) -> dict[int, dict[str, np.ndarray]]:
    """fold -> track -> float32 ``[C]``: the mean over the backbones, at one of the levels, drawn by the track's name.

    An unlabelled recording comes as it is, too: perturbed or not.

    Raises:
        UsageError: the classes are others.
    """
    names = [f"p_{name}" for name in classes]
    if sorted(names) != sorted(name for name in said.columns if name.startswith("p_")):
        raise UsageError(f"--first-round: {HELD_OUT_FILE} is of other classes than the manifest's")
    levels = np.array(sorted(set(said["level"])), object)
    tracks = said["track"].to_numpy(str)
    drawn = levels[track_keys(list(tracks)).view(np.uint64) % np.uint64(len(levels))]
    mine = said[said["level"].to_numpy(object) == drawn]
    found: dict[int, dict[str, np.ndarray]] = {}
    for (fold, track), p in mine.groupby(["fold", "track"], sort=False)[names].mean().iterrows():  # type: ignore[misc]
        found.setdefault(int(fold), {})[str(track)] = p.to_numpy(np.float32)
    return found


def rehearse(folds: Folds, labels: Mapping[int, Mapping[str, np.ndarray]], parts: int) -> Folds:
    """Every fold once for each part of its held-out rows: that part is judged, the others are taught by `labels`.

    Args:
        labels: fold -> track -> float32 ``[C]`` soft label of each row that the fold holds out, from `soft_labels`.
        parts: into how many the held-out rows are dealt, the recipe's `train.soft_label_folds`.

    Returns:
        by fold x parts + part. Parts of a fold share what it leaves out: a decision that is fitted on one has met the
        generators of the other, as it will those of the unlabelled recordings.

    Raises:
        UsageError: the folds of the first round were others, or hold out fewer rows than there are parts.
    """
    found: Folds = {}
    for fold, (train, valid) in folds.items():
        given = labels.get(fold, {})
        if not set(valid.tracks) <= set(given):
            raise UsageError(
                f"--first-round: its fold {fold} did not hold out the same rows: give the same --input, --set seed and "
                "--set tune.folds"
            )
        if len(valid) < parts:
            raise UsageError(f"--first-round: fold {fold} holds out {len(valid)} rows, too few for {parts} parts")
        target, part = np.stack([given[track] for track in valid.tracks]), soft_folds(valid.tracks, parts)
        for k in range(parts):
            taught, judged = np.flatnonzero(part != k), np.flatnonzero(part == k)
            found[fold * parts + k] = (
                Examples(
                    train.tracks + tuple(valid.tracks[i] for i in taught),
                    np.concatenate([train.target, target[taught]]),
                ),
                Examples(tuple(valid.tracks[i] for i in judged), valid.target[judged]),
            )
    return found
