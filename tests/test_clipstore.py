"""The store of decoded training audio: exact samples, shards named by what they hold, problems that travel along."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synatt import clipstore, storage
from synatt.audio import load_audio
from synatt.clip import standardise
from synatt.clipstore import ClipStore, plan_shards, shard_name, store_shard, to_int16


def test_every_recording_comes_back_as_it_was_decoded(
    clip_store: ClipStore, clip_tracks: tuple[str, ...], clip_paths: list[str]
) -> None:
    assert len(clip_store) == 12
    assert clip_store.problems == []
    for track, path in zip(clip_tracks, clip_paths, strict=True):
        assert track in clip_store
        found = clip_store.wave(track)
        assert found.dtype == np.float32
        assert np.array_equal(found, load_audio(path).wave)
    assert "t99" not in clip_store


@given(arrays(np.int16, st.integers(2, 50)).filter(lambda x: x.min() != x.max()))
def test_16_bit_samples_are_kept_exactly(pcm: np.ndarray) -> None:
    assert np.array_equal(to_int16(pcm.astype(np.float32) / 32768), pcm)


WIDTHS = st.floats(2.0**-60, 2.0**60, width=32)


@given(arrays(np.float32, 40, elements=st.floats(-1, 1, width=32)).filter(lambda x: np.ptp(x) > 0.01), WIDTHS)
def test_other_samples_are_scaled_to_full_range_and_look_the_same_to_training(wave: np.ndarray, scale: float) -> None:
    kept = to_int16(wave * np.float32(scale)).astype(np.float32) / 32768
    # 16 bits of the range, as a part of the deviation.
    step = float(np.abs(wave).max() / 32767 / wave.std())
    np.testing.assert_allclose(standardise(kept), standardise(wave), atol=2 * step + 1e-4)


def test_shards_are_runs_of_rows() -> None:
    tracks, paths = [f"t{i}" for i in range(10)], [f"{i}.wav" for i in range(10)]
    shards = plan_shards(tracks, paths, rows=4)
    assert [shard.tracks for shard in shards] == [tuple(tracks[:4]), tuple(tracks[4:8]), tuple(tracks[8:])]
    assert [p for shard in shards for p in shard.paths] == paths


def test_a_shard_is_named_by_its_rows_their_files_and_the_seconds_that_are_read(
    tmp_path: Path, clip_paths: list[str]
) -> None:
    mine = tmp_path / "mine.wav"
    mine.write_bytes(Path(clip_paths[0]).read_bytes())
    (shard,) = plan_shards(["a", "b"], [str(mine), clip_paths[1]])
    names = [shard_name(shard, 60.0), shard_name(shard, 30.0)]
    names += [shard_name(plan_shards(["a", "c"], shard.paths)[0], 60.0)]
    names += [shard_name(plan_shards(["a", "b"], [str(mine), clip_paths[2]])[0], 60.0)]
    assert shard_name(shard, 60.0) == names[0]
    mine.write_bytes(Path(clip_paths[3]).read_bytes())
    names.append(shard_name(shard, 60.0))
    mine.unlink()
    names.append(shard_name(shard, 60.0))
    assert len(set(names)) == len(names)


def test_a_shard_is_made_once_and_again_when_a_recording_was_replaced(
    tmp_path: Path, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, opened = tmp_path / "mine.wav", []
    mine.write_bytes(Path(clip_paths[0]).read_bytes())
    real = clipstore.load_audio
    monkeypatch.setattr(clipstore, "load_audio", lambda *a: (opened.append(a[0]), real(*a))[1])
    (shard,) = plan_shards(["a", "b"], [str(mine), clip_paths[1]])
    folder = str(tmp_path / "store")
    first = store_shard(folder, shard, 60.0)
    assert store_shard(folder, shard, 60.0) == first
    assert opened == [str(mine), clip_paths[1]]
    mine.write_bytes(Path(clip_paths[3]).read_bytes())
    second = store_shard(folder, shard, 60.0)
    assert len(opened) == 4
    assert np.array_equal(ClipStore(folder, [second]).wave("a"), load_audio(clip_paths[3]).wave)


def test_what_cannot_be_used_travels_with_the_shard(tmp_path: Path, clip_paths: list[str]) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    (shard,) = plan_shards(["good", "bad", "gone"], [clip_paths[0], str(tmp_path / "bad.wav"), "/none.wav"])
    store = ClipStore(str(tmp_path), [store_shard(str(tmp_path), shard, 60.0)])
    assert [(p["track"], p["kind"], p["path"]) for p in store.problems] == [
        ("bad", "not_audio", str(tmp_path / "bad.wav")),
        ("gone", "missing", "/none.wav"),
    ]
    assert len(store) == 1
    assert "bad" not in store


def test_a_shard_without_one_usable_recording_is_an_empty_store(tmp_path: Path) -> None:
    (shard,) = plan_shards(["gone"], ["/none.wav"])
    assert len(ClipStore(str(tmp_path), [store_shard(str(tmp_path), shard, 60.0)])) == 0


def test_no_more_than_the_seconds_asked_for_are_kept(tmp_path: Path, speech: np.ndarray) -> None:
    sf.write(tmp_path / "x.wav", speech, 16_000)
    (shard,) = plan_shards(["x"], [str(tmp_path / "x.wav")])
    assert len(ClipStore(str(tmp_path), [store_shard(str(tmp_path), shard, 2.0)]).wave("x")) == 32_000


def test_the_shards_of_a_bucket_are_copied_to_this_machine_once(tmp_path: Path, clip_paths: list[str]) -> None:
    bucket, cache = f"file://{tmp_path}/bucket", tmp_path / "cache"
    (shard,) = plan_shards(["a"], clip_paths[:1])
    name = store_shard(bucket, shard, 60.0)
    with pytest.raises(storage.StorageError, match="local folder"):
        ClipStore(bucket, [name])
    assert len(ClipStore(bucket, [name], str(cache))) == 1
    storage.delete_dir(bucket)
    assert np.array_equal(ClipStore(bucket, [name], str(cache)).wave("a"), load_audio(clip_paths[0]).wave)
