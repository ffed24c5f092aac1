"""A shard staged apart: a row that kills or stops its process costs itself, and all others are as they always are."""

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from synatt import backbones, careful, model, staging
from synatt.careful import stage_carefully
from synatt.ensemble import EnsemblePlan, plan
from synatt.errors import WorkError
from synatt.staging import Units, Windows, stage_shard, unit_bytes
from tests.conftest import make_tiny_recipe
from tests.deadly import CRASH_HZ, HANG_HZ, Deadly, send_windows
from tests.shards import shard_of

CRASHED, HANGS = "the decoder crashed on this recording (Segmentation fault)", "decoding took longer than 1 s"


@pytest.fixture(scope="module")
def one_model(tmp_path_factory: pytest.TempPathFactory) -> EnsemblePlan:
    recipe = make_tiny_recipe()
    folder = str(tmp_path_factory.mktemp("models") / "Tiny")
    model.save_model(folder, backbones.create(recipe.backbones[0], recipe), recipe, {}, [])
    return plan([folder])


@pytest.fixture(scope="module")
def deadly(tmp_path_factory: pytest.TempPathFactory, clip_paths: list[str]) -> pa.RecordBatch:
    """Good clips, and among them, first and last as well, such that crash or hang their decoder and one that is bad."""
    folder = tmp_path_factory.mktemp("deadly")
    wave, _ = sf.read(clip_paths[0])
    for name, rate_hz in (("crash.wav", CRASH_HZ), ("hang.wav", HANG_HZ)):
        sf.write(folder / name, wave, rate_hz)
    crash, hang, missing = (str(folder / name) for name in ("crash.wav", "hang.wav", "missing.wav"))
    paths = [crash, *clip_paths[:3], hang, clip_paths[3], missing, *clip_paths[4:6], crash]
    return shard_of([f"t{i}" for i in range(10)], paths)


@pytest.fixture(scope="module")
def made(one_model: EnsemblePlan, deadly: pa.RecordBatch) -> list[Units]:
    """The shard in blocks of four."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "BLOCK_BYTES", 4 * unit_bytes(one_model))
        return list(stage_carefully(deadly, replace(one_model, read_s=Deadly(60)), limit_s=1.0))


def test_a_row_that_kills_or_stops_its_process_says_so_in_its_own_place(made: list[Units]) -> None:
    outcomes = [o for units in made for o in units.outcomes]
    assert [o.track for o in outcomes] == [f"t{i}" for i in range(10)]
    wanted = [f"crashed: {CRASHED}", None, None, None, f"crashed: {HANGS}", None, "missing: no such file", None, None]
    assert [o.error for o in outcomes] == [*wanted, f"crashed: {CRASHED}"]


def test_its_neighbours_are_what_they_are_without_it(
    made: list[Units], one_model: EnsemblePlan, deadly: pa.RecordBatch
) -> None:
    (alone,) = stage_shard(deadly, one_model)
    (key,) = alone.logmels
    found = np.concatenate([units.logmels[key] for units in made])
    good = [row for row in range(10) if row not in (0, 4, 6, 9)]
    assert np.array_equal(found[good], alone.logmels[key][good])
    assert not np.delete(found, good, axis=0).any()
    assert [made[0].outcomes[row] for row in (1, 2, 3)] == alone.outcomes[1:4]


def test_the_blocks_are_numbered_and_cut_as_those_of_the_first_attempt(
    made: list[Units], one_model: EnsemblePlan, deadly: pa.RecordBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK_BYTES", 4 * unit_bytes(one_model))
    first = list(stage_shard(deadly, one_model))
    for units, wanted in zip(made, first, strict=True):
        assert (units.first, units.last, units.row.tolist()) == (wanted.first, wanted.last, wanted.row.tolist())
        assert units.window.tolist() == wanted.window.tolist()
    assert [units.first for units in made] == [0, 4, 8]


def test_no_child_outlives_the_work(made: list[Units]) -> None:
    assert len(made) == 3
    assert multiprocessing.active_children() == []


def test_who_stops_early_leaves_no_child_behind(
    one_model: EnsemblePlan, deadly: pa.RecordBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_BLOCK_UNITS", 1)
    blocks = stage_carefully(deadly.slice(1, 3), one_model)
    assert next(blocks).outcomes[0].track == "t1"
    assert len(multiprocessing.active_children()) == 1
    blocks.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("how", ["half way", "at its end"])
def test_the_windows_before_a_crash_are_kept_and_no_row_ends_twice(
    one_model: EnsemblePlan, deadly: pa.RecordBatch, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(careful, "_work", partial(send_windows, crash=how))
    (units,) = stage_carefully(deadly.slice(0, 3), one_model, Windows())
    windows, ok = [0, 1, 2], [None, None, None]
    if how == "half way":
        assert units.window.tolist() == [*windows, 0, 1, 2, *windows]
        assert [o.error for o in units.outcomes] == [*ok, None, None, f"crashed: {CRASHED}", *ok]
        # What the file said of itself before is still known.
        assert units.outcomes[5].duration_s == 9.5
    else:
        assert units.window.tolist() == [*windows, *windows, *windows]
        assert [o.error for o in units.outcomes] == [*ok, None, None, "corrupt: the end", *ok]
    assert units.row.tolist() == [0] * 3 + [1] * 3 + [2] * 3


class Unloadable:
    """A plan that ends the process in which it is unpickled."""

    def __reduce__(self) -> "tuple[Callable[..., object], tuple[int]]":
        return os._exit, (3,)


def test_a_process_that_does_not_start_is_no_fault_of_a_recording(
    one_model: EnsemblePlan, deadly: pa.RecordBatch
) -> None:
    with pytest.raises(WorkError, match=r"did not start \(exit code 3\)"):
        list(stage_carefully(deadly, replace(one_model, classes=Unloadable())))  # type: ignore[arg-type]
    assert multiprocessing.active_children() == []
