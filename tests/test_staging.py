"""Staging: one read and one decode a recording, whatever the models; bounded blocks; what failed keeps its place."""

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from synatt import staging
from synatt.ensemble import EnsemblePlan, logmel_crops, plan
from synatt.predictions import Outcome
from synatt.sources import read_rows
from synatt.staging import Units, Windows, stage, stage_shard, unit_bytes
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


@pytest.fixture
def long_wave(golden: dict[str, np.ndarray]) -> np.ndarray:
    """float32 `[72000]`: 4.5 s of speech with a silence from 1.5 to 3 s."""
    wave = golden["pcm16_8s"][8_000:80_000].astype(np.float32) / np.float32(32768)
    wave[24_000:48_000] = 0
    return wave


def test_a_long_recording_is_as_many_units_as_it_has_windows_with_speech(
    one_view: EnsemblePlan, long_wave: np.ndarray, tmp_path: Path
) -> None:
    path = str(tmp_path / "long.wav")
    sf.write(path, long_wave, 16_000, subtype="PCM_16")
    units = stage(["long"], [path], one_view, Windows(hop=0.5))
    # Those that start at 1.5 and 2 s are silent.
    starts_s = [0.0, 0.5, 1.0, 2.5, 3.0, 3.5]
    assert units.start_s.tolist() == starts_s
    assert units.window.tolist() == list(range(6))
    assert (units.row == 0).all()
    assert units.outcomes == [Outcome("long", path, 4.5, 16_000)] * 6
    starts = [int(16_000 * s) for s in starts_s]
    wanted = stage(["w"] * 6, [long_wave[start : start + 16_000] for start in starts], one_view)
    assert_same_logmels([units], wanted)


def test_windows_are_as_long_as_the_longest_clip_that_a_model_looks_at(
    two_views: EnsemblePlan, long_wave: np.ndarray, tmp_path: Path
) -> None:
    sf.write(tmp_path / "long.wav", long_wave, 16_000)
    units = stage(["long"], [str(tmp_path / "long.wav")], two_views, Windows(hop=1.0))
    assert units.start_s.tolist() == [0.0, 1.0, 3.0, 3.5]


def test_windows_of_a_file_that_ends_early_are_followed_by_the_error(
    one_view: EnsemblePlan, clip_paths: list[str], long_wave: np.ndarray, tmp_path: Path
) -> None:
    path = str(tmp_path / "half.flac")
    sf.write(path, np.tile(long_wave, 4), 16_000)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    units = stage(["half", "next"], [path, clip_paths[0]], one_view, Windows())
    count = int((units.row == 0).sum())
    assert count > 4
    assert units.window.tolist() == [*range(count), 0]
    errors = [o.error for o in units.outcomes]
    assert errors[: count - 1] == [None] * (count - 1)
    assert (errors[count - 1] or "").startswith("corrupt: ")
    assert errors[count] is None
    assert {(o.duration_s, o.sample_rate_hz) for o in units.outcomes[:count]} == {(18.0, 16_000)}


@pytest.mark.parametrize("levels", [[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]])
def test_a_recording_of_silent_windows_only_is_silent(
    one_view: EnsemblePlan, tmp_path: Path, levels: list[float]
) -> None:
    sf.write(tmp_path / "x.wav", np.repeat(levels, 16_000), 16_000)
    units = stage(["x"], [str(tmp_path / "x.wav")], one_view, Windows(hop=1.0))
    assert [(o.error or "").partition(":")[0] for o in units.outcomes] == ["silent"]
    assert units.window.tolist() == [0]


def test_a_length_that_shows_at_the_end_only_is_that_of_the_last_unit(
    one_view: EnsemblePlan, long_wave: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "streamed.flac"
    # It ends with a window, so that all windows are there before the end is.
    sf.write(path, long_wave[:64_000], 16_000)
    data = bytearray(path.read_bytes())
    # STREAMINFO's number of samples: the lower 36 bits of bytes 21 to 26; 0 stands for 'not known'.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    units = stage(["x"], [str(path)], one_view, Windows(hop=1.0))
    assert units.start_s.tolist() == [0.0, 1.0, 3.0]
    assert [o.duration_s for o in units.outcomes] == [None, None, 4.0]


def test_longer_recordings_than_wanted_are_refused(one_view: EnsemblePlan, clip_paths: list[str]) -> None:
    (outcome,) = stage(["x"], clip_paths[:1], one_view, Windows(limit_s=0.5)).outcomes
    assert (outcome.error or "").startswith("implausible_header: header claims 1 s; at most 0 s are accepted")


def test_windows_of_several_recordings_share_blocks_of_bounded_size(
    one_view: EnsemblePlan,
    clip_paths: list[str],
    long_wave: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(staging, "MAX_BLOCK_UNITS", 4)
    path = str(tmp_path / "long.wav")
    sf.write(path, long_wave, 16_000)
    paths = [clip_paths[0], path, "/none.wav", path]
    made = list(stage_shard(shard_of("abcd", paths), one_view, Windows()))
    assert [(units.first, len(units.outcomes), units.last) for units in made] == [
        (0, 4, False),
        (4, 4, False),
        (8, 4, False),
        (12, 2, True),
    ]
    assert np.concatenate([units.row for units in made]).tolist() == [0] + [1] * 6 + [2] + [3] * 6
    assert np.concatenate([units.window for units in made]).tolist() == [0, *range(6), 0, *range(6)]
    assert_same_logmels(made, stage(list("abcd"), paths, one_view, Windows()))


def test_the_work_of_others_between_two_windows_is_not_counted(
    one_view: EnsemblePlan, long_wave: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_BLOCK_UNITS", 1)
    now_s = 0.0
    monkeypatch.setattr(staging.time, "perf_counter", lambda: now_s)
    sf.write(tmp_path / "long.wav", long_wave, 16_000)
    spent = 0.0
    for units in stage_shard(shard_of(["x"], [str(tmp_path / "long.wav")]), one_view, Windows()):
        spent += float(units.decode_s.sum() + units.logmel_s.sum())
        now_s += 100.0
    assert spent == 0.0
