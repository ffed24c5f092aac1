"""A plan on its way to a worker."""

import os
from pathlib import Path

import pytest

from synatt.distributed.worker import pack, unpack
from synatt.training import make_plan
from tests.conftest import make_tiny_recipe


def test_folders_mean_the_same_where_a_worker_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = make_tiny_recipe(
        weights={"source": "folder", "folder": "nets"}, augment={"noise_folder": "n", "room_folder": "s3://b/rooms"}
    )
    packed = pack(make_plan(recipe, recipe.backbones[0], 0, 2, 1))
    monkeypatch.chdir("/")
    there = unpack(packed).recipe
    assert there.weights.folder == os.path.join(tmp_path, "nets")
    assert (there.augment.noise_folder, there.augment.room_folder) == (os.path.join(tmp_path, "n"), "s3://b/rooms")
    assert recipe.weights.folder == "nets" and unpack(packed).epochs == 2
