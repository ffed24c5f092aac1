"""Staging: one read and one decode a recording, whatever the models; bounded blocks; what failed keeps its place."""

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import staging
from synatt.ensemble import EnsemblePlan, logmel_crops, plan
from synatt.predictions import Outcome
from synatt.sources import read_rows
from synatt.staging import Units, stage, stage_shard, unit_bytes
from tests.badfiles import make_bad_files
from tests.conftest import MakeModel, make_tiny_recipe
from tests.shards import shard_of

_watched: "list[str] | None" = None


def _note(event: str, args: tuple[object, ...]) -> None:
    if _watched is not None and event == "open":
        _watched.append(str(args[0]))


# An audit hook sees every open() of Python, however it is spelled; it stays for good, so there is one for all tests.
sys.addaudithook(_note)


@pytest.fixture
def opens() -> Iterator[list[str]]:
    """The paths opened during a test, one entry per open()."""
    global _watched
    _watched = []
    yield _watched
    _watched = None


@pytest.fixture
def two_views(make_model: MakeModel) -> EnsemblePlan:
    """Three models; the third looks at shorter clips, two of each recording."""
    other = make_tiny_recipe(name="C", clip={"seconds": 0.5, "pad": "zeros"}, predict={"crops": 2})
    return plan([make_model("A"), make_model("B", 1), make_model("C", 2, other)])


@pytest.fixture
def one_view(make_model: MakeModel) -> EnsemblePlan:
    return plan([make_model()])


def assert_same_logmels(found: list[Units], wanted: Units) -> None:
    for key, values in wanted.logmels.items():
        assert np.array_equal(np.concatenate([units.logmels[key] for units in found]), values)


def test_however_many_models_there_are_a_file_is_opened_once_and_decoded_once(
    two_views: EnsemblePlan, clip_paths: list[str], opens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = staging.load_audio
    monkeypatch.setattr(staging, "load_audio", lambda path, read_s: (decoded.append(path), real(path, read_s))[1])
    made = list(stage_shard(shard_of([f"t{i}" for i in range(12)], clip_paths), two_views))
    assert len(two_views.folders) == 3 and len(two_views.views) == 2
    assert sum(len(units.outcomes) for units in made) == 12
    assert [path for path in opens if path.endswith(".wav")] == clip_paths
    assert decoded == clip_paths


def test_each_view_gets_the_log_mel_of_its_own_recipe(two_views: EnsemblePlan, clip_paths: list[str]) -> None:
    units = stage(["x", "y"], clip_paths[:2], two_views)
    shapes = {view.key: units.logmels[view.key].shape for view in two_views.views}
    assert list(shapes.values()) == [(2, 1, 32, 64), (2, 2, 32, 64)]
    for row, path in enumerate(clip_paths[:2]):
        audio = staging.load_audio(path, two_views.read_s)
        for view in two_views.views:
            assert np.array_equal(units.logmels[view.key][row], logmel_crops(audio, view))


def test_a_shard_comes_in_blocks_of_bounded_size_that_are_numbered_through(
    two_views: EnsemblePlan, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK_BYTES", 5 * unit_bytes(two_views) + 1)
    tracks = [f"t{i}" for i in range(12)]
    made = list(stage_shard(shard_of(tracks, clip_paths), two_views))
    assert [(units.first, len(units.outcomes), units.last) for units in made] == [
        (0, 5, False),
        (5, 5, False),
        (10, 2, True),
    ]
    assert all(sum(a.nbytes for a in units.logmels.values()) <= staging.BLOCK_BYTES for units in made)
    assert [o.track for units in made for o in units.outcomes] == tracks
    assert np.concatenate([units.row for units in made]).tolist() == list(range(12))
    assert all((units.window == 0).all() and (units.start_s == 0).all() for units in made)
    assert_same_logmels(made, stage(tracks, clip_paths, two_views))


@pytest.mark.parametrize(("block_bytes", "most", "size"), [(1, 64, 1), (1 << 30, 4, 4), (1 << 30, 12, 12)])
def test_a_block_has_at_least_one_unit_and_never_very_many(
    one_view: EnsemblePlan,
    clip_paths: list[str],
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
    most: int,
    size: int,
) -> None:
    monkeypatch.setattr(staging, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(staging, "MAX_BLOCK_UNITS", most)
    made = list(stage_shard(shard_of([f"t{i}" for i in range(12)], clip_paths), one_view))
    assert {len(units.outcomes) for units in made} == {size}
    assert [units.last for units in made] == [False] * (12 // size - 1) + [True]


def test_recordings_are_opened_as_blocks_are_asked_for(
    one_view: EnsemblePlan, clip_paths: list[str], opens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_BLOCK_UNITS", 3)
    blocks = stage_shard(shard_of([f"t{i}" for i in range(12)], clip_paths), one_view)
    next(blocks)
    # One more than the block's own, to know that the block is not the last.
    assert [path for path in opens if path.endswith(".wav")] == clip_paths[:4]


def test_every_way_to_be_bad_is_a_unit_with_its_error_among_neighbours_that_stay_as_they_are(
    two_views: EnsemblePlan, clip_paths: list[str], speech_wave: np.ndarray, tmp_path: Path
) -> None:
    bad = make_bad_files(tmp_path, speech_wave[:16_000])
    paths, kinds = [], []
    for i, (path, kind) in enumerate(bad.values()):
        paths += [path, clip_paths[i % 12]]
        kinds += [kind, None]
    tracks = [str(i) for i in range(len(paths))]
    made = list(stage_shard(shard_of(tracks, paths), two_views))
    outcomes = [o for units in made for o in units.outcomes]
    assert [o.track for o in outcomes] == tracks
    assert [o.error and o.error.partition(":")[0] for o in outcomes] == kinds
    alone = stage(clip_paths, clip_paths, two_views)
    for key in alone.logmels:
        values = np.concatenate([units.logmels[key] for units in made])
        assert not values[::2].any()
        assert all(np.array_equal(values[2 * i + 1], alone.logmels[key][i % 12]) for i in range(len(bad)))


def test_a_recordings_facts_are_those_of_its_file(one_view: EnsemblePlan, clip_paths: list[str]) -> None:
    units = stage(["x", "array"], [clip_paths[0], np.sin(np.arange(8_000))], one_view)
    assert units.outcomes == [
        Outcome("x", clip_paths[0], 1.0, 16_000, None),
        Outcome("array", "", 0.5, 16_000, None),
    ]
    assert (units.decode_s > 0).all() and (units.logmel_s > 0).all()


def test_what_nobody_expected_costs_one_row_and_is_named(
    one_view: EnsemblePlan, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(real: object, where: int) -> object:
        calls = iter(range(100))

        def work(*args: object) -> object:
            if next(calls) == where:
                raise MemoryError("two\nlines")
            return real(*args)  # type: ignore[operator]

        return work

    monkeypatch.setattr(staging, "load_audio", failing(staging.load_audio, 0))
    monkeypatch.setattr(staging, "logmel_crops", failing(staging.logmel_crops, 1))
    said = "unexpected: MemoryError: two lines"
    assert stage(["x", "y", "z"], clip_paths[:3], one_view).outcomes == [
        Outcome("x", clip_paths[0], None, None, said),
        Outcome("y", clip_paths[1], 1.0, 16_000, None),
        # Once the file is decoded, what it said of itself is known.
        Outcome("z", clip_paths[2], 1.0, 16_000, said),
    ]


def test_recordings_in_a_tar_and_in_a_table_are_staged_like_loose_files(
    two_views: EnsemblePlan, clip_paths: list[str], tmp_path: Path
) -> None:
    wanted = stage(clip_paths, clip_paths, two_views)
    with tarfile.open(tmp_path / "clips.tar", "w") as tar:
        for path in clip_paths:
            tar.add(path, Path(path).name)
    table = pa.table({"track": clip_paths, "bytes": [Path(path).read_bytes() for path in clip_paths]})
    pq.write_table(table, tmp_path / "clips.parquet", row_group_size=5)
    for name in ("clips.tar", "clips.parquet"):
        shards = [part.batch for part in read_rows([str(tmp_path / name)])]
        made = [units for shard in shards for units in stage_shard(shard, two_views)]
        assert [o.error for units in made for o in units.outcomes] == [None] * 12, name
        assert_same_logmels(made, wanted)


def test_the_size_of_a_unit_is_that_of_its_log_mels(two_views: EnsemblePlan, clip_paths: list[str]) -> None:
    units = stage(["x"], clip_paths[:1], two_views)
    assert unit_bytes(two_views) == sum(array.nbytes for array in units.logmels.values())
