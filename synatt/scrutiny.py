"""What keeps an evaluation from flattering: overlap with training, shortcuts, calibration, honest thresholds.

Keys that it adds to `metrics.json`:
    overlap: null without `--trained-on`, else trained_on (paths), n_trained, n_soft, kinds: rows of the table
        `overlap`, each with `touched` and `untouched`, score rows of the tracks that share something and of those
        that do not (null where nothing could be compared)
    probe: asked, reason (why there is none; null), how, n_sampled, n_read, unreadable (kind -> recordings), left_out
        (classes with too few recordings), overall (rows by `family` of features), groups (column -> rows)
    calibration: the overall row of the table `calibration`, bins, groups (column -> rows)
    reject, unknown_threshold: wanted, threshold (chosen on all tracks), reason (why there is none; null), halves: rows
        of the table of that name
    generators: rows of the table `generators`
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from synatt.overlap import COLUMNS, find_overlaps, overlap_frame, unseen_frame
from synatt.probe import Probe, run_probe
from synatt.probescores import probe_frame
from synatt.rejecting import reject_frame, unknown_threshold_frame
from synatt.reliability import CALIBRATION_BINS, calibration_frame, reliability_frame
from synatt.scored import Rows
from synatt.scoring import Scorer, generator_frame
from synatt.tidy import records
from synatt.trained import Trained


@dataclass(frozen=True)
class Scrutiny:
    """Tables by name, as frames, and what is added to the metrics, as plain values."""

    frames: dict[str, pd.DataFrame]
    metrics: dict[str, Any]


def scrutinise(
    labelled: Rows, trained: Trained | None, columns: list[str], scorer: Scorer, settings: dict[str, Any]
) -> Scrutiny:
    """All of it for the `labelled` rows; `settings` gives `probe`, `error_rate` and `seed`."""
    scored = labelled.where(labelled.answered)
    probe = run_probe(scored, trained, settings["probe"], settings["seed"])
    overlaps = find_overlaps(labelled, trained, scorer) if trained else []
    frames = {
        "overlap": overlap_frame(overlaps, len(labelled)),
        "unseen": unseen_frame(overlaps, labelled, scorer),
        "probe": probe_frame(scored, probe, columns, scorer),
        "calibration": calibration_frame(scored, columns, scorer),
        "reliability_by": reliability_frame(scored, columns),
        "reject": reject_frame(scored, settings["error_rate"], scorer),
        "unknown_threshold": unknown_threshold_frame(scored, settings["error_rate"], scorer),
        "generators": generator_frame(labelled, scorer),
    }
    calibration = _by_group(frames["calibration"], columns)
    metrics = {
        "overlap": None if trained is None else _overlap(frames, trained),
        "probe": {**_probe(probe, scorer), **_by_group(frames["probe"], columns)},
        "calibration": {**calibration["overall"][0], "bins": CALIBRATION_BINS, "groups": calibration["groups"]},
        "reject": _threshold(frames["reject"], settings, "no labelled track was answered"),
        "unknown_threshold": _threshold(
            frames["unknown_threshold"], settings, "it takes answered tracks of known algorithms, and a class 'unknown'"
        ),
        "generators": records(frames["generators"]),
    }
    return Scrutiny(frames, metrics)


def _by_group(frame: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    """The rows of no column, and those of each."""
    everything = records(frame[frame["column"].isna()].drop(columns=["column", "value"]))
    groups = {c: records(frame[frame["column"] == c].drop(columns="column")) for c in columns}
    return {"overall": everything, "groups": groups}


def _overlap(frames: dict[str, pd.DataFrame], trained: Trained) -> dict[str, Any]:
    scores = {(row["kind"], row["rows"]): row for row in records(frames["unseen"])}
    kinds = []
    for row in records(frames["overlap"]):
        sides = {side: scores.get((row["kind"], side)) for side in ("touched", "untouched")}
        kinds.append({**{name: row[name] for name in COLUMNS}, **sides})
    return {
        "trained_on": list(trained.paths),
        "n_trained": len(trained.hard),
        "n_soft": len(trained.soft),
        "kinds": kinds,
    }


def _probe(probe: Probe, scorer: Scorer) -> dict[str, Any]:
    names = ("asked", "reason", "how", "n_sampled", "n_read", "unreadable")
    return {**{name: getattr(probe, name) for name in names}, "left_out": [scorer.classes[c] for c in probe.left_out]}


def _threshold(frame: pd.DataFrame, settings: dict[str, Any], empty: str) -> dict[str, Any]:
    rows = records(frame)
    threshold = rows[-1]["threshold"] if rows else None
    reason = empty if not rows else "no threshold reaches it" if threshold is None else None
    return {"wanted": settings["error_rate"], "threshold": threshold, "reason": reason, "halves": rows}
