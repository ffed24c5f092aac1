"""What an earlier run of the trials left is gone on with, whatever state Ray Tune's own record of it is in."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synatt.clipstore import plan_shards, store_shard
from synatt.distributed import experiments, tuning
from synatt.distributed.clips import Clips
from synatt.recipe import Recipe, Tune
from synatt.training import Plan

PLANNED, RECORD = "tuner.pkl", "experiment_state-2026-01-01_00-00-00.json"


def write(folder: Path, **files: str) -> str:
    (folder / experiments.EXPERIMENT).mkdir()
    for name, text in files.items():
        (folder / experiments.EXPERIMENT / name).write_text(text)
    return str(folder)


def test_an_experiment_with_a_whole_record_can_go_on(tmp_path: Path) -> None:
    assert experiments.can_go_on(write(tmp_path, **{PLANNED: "", RECORD: json.dumps({"trial_data": []})}))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {PLANNED: ""},
        {RECORD: '{"trial_data": []}'},
        {PLANNED: "", RECORD: '{"trial_data": [{"st'},
        {PLANNED: "", RECORD: ""},
        # The newest counts: an older one may name what has been deleted since.
        {PLANNED: "", RECORD: '{"trial_data": []}', RECORD.replace("2026", "2027"): "{"},
    ],
    ids=["nothing", "only planned", "not planned", "torn", "empty", "torn after a whole one"],
)
def test_one_that_was_killed_before_or_while_its_record_was_written_cannot(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert not experiments.can_go_on(write(tmp_path, **files))


@pytest.mark.usefixtures("ray_local")
def test_a_torn_record_costs_no_epoch(
    tmp_path: Path, tiny_recipe: Recipe, clip_tracks: tuple[str, ...], clip_paths: list[str]
) -> None:
    (shard,) = plan_shards(clip_tracks, clip_paths)
    clips = Clips(str(tmp_path), (store_shard(str(tmp_path), shard, 60.0),))
    target = np.eye(6, dtype=np.float32)[np.arange(12) % 6]
    folds = tuning.split_folds(list(clip_tracks), target, np.arange(12) // 6, 2)
    plans = [Plan(tiny_recipe, tiny_recipe.backbones[0], 0, 2, 4, 4)]

    def curves() -> pd.DataFrame:
        return tuning.fold_trials(plans, Tune(folds=2, max_epochs=2), folds, clips, str(tmp_path / "tune-x"))[0]

    first = curves()
    assert list(first.fold) == [0, 0, 1, 1] and list(first.epoch) == [1, 2, 1, 2]
    record = max((tmp_path / "tune-x" / experiments.EXPERIMENT).glob(f"{experiments.RECORD}*"))
    record.write_bytes(record.read_bytes()[:-100])
    # Not a column differs, not even the seconds that an epoch took: none was trained again.
    pd.testing.assert_frame_equal(curves(), first)
    (tmp_path / "tune-x" / "states").rename(tmp_path / "gone")
    # With the record whole again, the trials that are over are not even started.
    pd.testing.assert_frame_equal(curves(), first)
