"""A linear classifier that hears nothing but shortcuts: how well a set's classes are told without its voices."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from synatt import folds
from synatt.audio import AudioError, load_audio
from synatt.sampling import stratified_sample
from synatt.scored import Rows
from synatt.shortcuts import FAMILIES, FEATURES, features
from synatt.trained import Trained
from synatt.truth import UNLABELLED

# 1,000 clips put the macro F1 of six classes within about 0.03, and are read in some ten seconds from a disk.
PROBE_CLIPS = 1000
FOLDS = 5
# Reading waits for storage more than for the processor.
AT_ONCE = 8
# When none of so many recordings can be read, the others are not tried.
TRIED_FIRST = 20
ALL = "all"
# Family -> columns of the features that its classifier sees.
SEEN: dict[str, list[int]] = {ALL: list(range(len(FEATURES)))} | {
    family: [FEATURES.index(name) for name in names] for family, names in FAMILIES.items()
}


@dataclass(frozen=True)
class Probe:
    """What the classifiers answered.

    Attributes:
        asked: most recordings to be read.
        reason: why there are no answers; null where there are.
        how: what the classifiers were fitted on.
        n_sampled, n_read: recordings drawn, and those that could be read.
        unreadable: kind of fault -> recordings, training rows included.
        rows: int64 ``[n]``, increasing: rows of the scored ones that were answered.
        answers: family -> int64 ``[n]``, answered classes.
        left_out: classes with too few recordings to be told apart.
    """

    asked: int
    reason: str | None
    how: str | None = None
    n_sampled: int = 0
    n_read: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    answers: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()


def run_probe(scored: Rows, trained: Trained | None, clips: int, seed: int) -> Probe:
    """Probe a stratified sample of at most `clips` of the `scored` rows (labelled and answered ones).

    The classifiers are fitted on as many of the training rows if these are given and can be read, else on the
    evaluated rows themselves, by cross-validation with speakers kept apart where each class has several.
    """
    if not clips:
        return Probe(0, "not asked for (--probe 0)")
    rng = np.random.default_rng(seed)
    sampled = stratified_sample(scored.truth, clips, rng)
    values, faults = read_features([scored.path[i] for i in sampled])
    good = np.isfinite(values).all(1)
    found: dict[str, Any] = {"n_sampled": len(sampled), "n_read": int(good.sum()), "unreadable": dict(faults)}
    if not good.any():
        return Probe(clips, _unread(len(sampled), faults), **found)
    rows, values = sampled[good], values[good]
    truth = scored.truth[rows]
    classes, n = np.unique(truth, return_counts=True)
    left_out = tuple(int(c) for c in classes[n < FOLDS])
    kept = ~np.isin(truth, left_out)
    rows, values, truth = rows[kept], values[kept], truth[kept]
    if len(np.unique(truth)) < 2:
        reason = f"fewer than two classes have {FOLDS} recordings that could be read"
        return Probe(clips, reason, **found, left_out=left_out)
    fitted, why, more = _by_training(values, truth, trained, clips, rng)
    found["unreadable"] = dict(faults + more)
    if fitted is not None:
        return Probe(clips, None, why, **found, rows=rows, answers=fitted, left_out=left_out)
    fold, apart = _folds(scored.where(np.isin(np.arange(len(scored)), rows)), truth, seed)
    answers = {family: _cross_validated(values[:, seen], truth, fold) for family, seen in SEEN.items()}
    how = f"cross-validated within the evaluated tracks, {FOLDS} folds, {apart}{why}"
    return Probe(clips, None, how, **found, rows=rows, answers=answers, left_out=left_out)


def read_features(paths: Sequence[str | None]) -> tuple[np.ndarray, Counter[str]]:
    """float64 ``[paths, FEATURES]``, NaN where a recording cannot be read, and the kinds of fault of those.

    Once the first `TRIED_FIRST` have all failed, the others are counted as 'not tried'.
    """
    out = np.full((len(paths), len(FEATURES)), np.nan)
    faults: Counter[str] = Counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part in (range(min(TRIED_FIRST, len(paths))), range(TRIED_FIRST, len(paths))):
            if part and part[0] and np.isnan(out[:TRIED_FIRST]).all():
                faults["not tried"] += len(part)
                break
            for i, found in zip(part, pool.map(_read_one, [paths[i] for i in part]), strict=True):
                if isinstance(found, str):
                    faults[found] += 1
                else:
                    out[i] = found
    return out, faults


def _read_one(path: str | None) -> np.ndarray | str:
    """The features of a recording, or the kind of its fault."""
    if path is None:
        return "no path"
    try:
        return features(load_audio(path).wave)
    except AudioError as err:
        return err.kind


def _unread(n: int, faults: Counter[str]) -> str:
    told = ", ".join(f"{many} {kind}" for kind, many in faults.most_common())
    return f"none of the {n} recordings could be read ({told or 'there are none'})"


def _by_training(
    values: np.ndarray, truth: np.ndarray, trained: Trained | None, clips: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray] | None, str, Counter[str]]:
    """Answers of classifiers fitted on training rows and how that was done; or None and why it was not."""
    if trained is None:
        return None, "", Counter()
    labelled = trained.hard[trained.hard["label"] != UNLABELLED]
    if not len(labelled) or "path" not in labelled:
        return None, " (the training rows have no path or label)", Counter()
    labelled = labelled.iloc[stratified_sample(labelled["label"].to_numpy(), clips, rng)]
    paths = [None if pd.isna(path) else str(path) for path in labelled["path"]]
    seen, faults = read_features(paths)
    good = np.isfinite(seen).all(1)
    target = labelled["label"].to_numpy(np.int64)[good]
    if not good.any():
        return None, f" (of the training rows {_unread(len(paths), faults)})", faults
    if set(truth) - set(target):
        return None, " (the training rows lack a class of the evaluated ones)", faults
    answers = {f: _fit(seen[good][:, use], target).predict(values[:, use]) for f, use in SEEN.items()}
    return answers, f"fitted on {good.sum()} training rows", faults


def _folds(sampled: Rows, truth: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """A fold for each sampled row, and how speakers were treated."""
    track = sampled.track.astype(str)
    name = next((c for c in ("speaker", "voice") if c in sampled.columns), None)
    if name is None:
        return folds.stratified(truth, track, FOLDS, seed), "no speakers given"
    speaker = sampled.columns[name].to_numpy(object)
    fold = folds.by_speaker(truth, speaker, track, FOLDS, seed)
    # A class all of whose speakers fell into one fold would have no example to learn from.
    if all(set(truth[fold != f]) == set(truth) for f in np.unique(fold)):
        return fold, "speakers kept apart where a class has several"
    return folds.stratified(truth, track, FOLDS, seed), "speakers not kept apart: too few of them"


def _cross_validated(values: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    out = np.empty(len(truth), np.int64)
    for f in np.unique(fold):
        out[fold == f] = _fit(values[fold != f], truth[fold != f]).predict(values[fold == f])
    return out


def _fit(values: np.ndarray, target: np.ndarray) -> Any:
    """Standardised features into a logistic regression in which every class weighs the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    return model.fit(values, target)
