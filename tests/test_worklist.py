"""The worklist: rows in order, in shards that a worker fetches alone; keys that stand twice are named."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt import worklist
from synatt.errors import UsageError
from synatt.worklist import SCHEMA, Rows, Worklist


def batch(tracks: list[str]) -> pa.RecordBatch:
    columns = {name: pa.nulls(len(tracks), SCHEMA.field(name).type) for name in SCHEMA.names}
    columns |= {name: pa.array(tracks, pa.string()) for name in ("track", "path", "location")}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def stream(tracks: list[str], size: int, together: bool = False) -> Iterator[Rows]:
    for start in range(0, len(tracks), size):
        yield Rows(batch(tracks[start : start + size]), together)


def numbered(count: int) -> list[str]:
    return [f"t{i}" for i in range(count)]


def read_back(folder: Path, work: Worklist) -> list[list[str]]:
    return [
        worklist.read_shard(str(folder), segment.name, shard).column("track").to_pylist()
        for segment in work.segments
        for shard in range(segment.shards)
    ]


@given(st.integers(0, 700), st.integers(1, 300), st.integers(8, 300), st.integers(1, 400))
def test_every_row_is_in_one_shard_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, most: int, segment_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("work")
    work = worklist.write(stream(numbered(count), size), str(folder), most, segment_rows)
    shards = read_back(folder, work)
    assert [track for shard in shards for track in shard] == numbered(count)
    assert work.rows == sum(s.rows for s in work.segments) == count
    assert all(0 < len(shard) <= most for shard in shards)
    assert len(work.segments) >= 1
    assert all(s.rows < segment_rows + most for s in work.segments)


def test_a_small_input_has_small_shards_and_a_large_one_large_shards(tmp_path: Path) -> None:
    work = worklist.write(stream(numbered(6000), 1000), str(tmp_path))
    sizes = [len(shard) for shard in read_back(tmp_path, work)]
    assert sizes[0] == worklist.MIN_SHARD_ROWS
    assert max(sizes) == worklist.MAX_SHARD_ROWS
    assert sizes[:-1] == sorted(sizes[:-1])


def test_shards_are_smaller_the_more_models_score_a_row() -> None:
    assert [worklist.most_rows(n) for n in (1, 6, 13)] == [1024, 170, 78]
    assert worklist.most_rows(10_000) == worklist.MIN_SHARD_ROWS


def test_rows_that_share_a_read_stay_in_one_shard(tmp_path: Path) -> None:
    work = worklist.write(stream(numbered(1000), 100, together=True), str(tmp_path))
    shards = read_back(tmp_path, work)
    assert {len(shard) for shard in shards} == {100}


def test_a_read_of_very_many_rows_is_parted_all_the_same(tmp_path: Path) -> None:
    count = 2 * worklist.MAX_TOGETHER_ROWS
    work = worklist.write(stream(numbered(count), count, together=True), str(tmp_path))
    assert max(map(len, read_back(tmp_path, work))) == worklist.MAX_SHARD_ROWS


def test_the_digest_does_not_depend_on_how_the_rows_arrive(tmp_path: Path) -> None:
    tracks = numbered(500)
    work = worklist.write(stream(tracks, 7), str(tmp_path / "a"))
    assert worklist.digest_of(stream(tracks, 199)) == (500, work.digest)
    assert worklist.write(stream(tracks, 500, together=True), str(tmp_path / "b")).digest == work.digest
    others = [tracks[::-1], tracks[:-1], [*tracks[:-1], "other"], [*tracks[:-2], tracks[-2] + tracks[-1], ""]]
    assert len({worklist.digest_of(stream(t, 100))[1] for t in others} | {work.digest}) == 5


def test_tracks_that_stand_twice_are_counted_and_named(tmp_path: Path) -> None:
    tracks = [*numbered(300), "t7", "t123"]
    with pytest.raises(UsageError, match=r"2 tracks stand more than once in the input, first 't7'"):
        worklist.write(stream(tracks, 50), str(tmp_path))


def test_repeats_are_found_though_the_keys_do_not_fit_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist._Keys, "FLUSH_ROWS", 64)
    with pytest.raises(UsageError, match="1 tracks stand more than once in the input, first 't11'"):
        worklist.write(stream([*numbered(2000), "t11"], 30), str(tmp_path / "twice"))
    assert worklist.write(stream(numbered(2000), 30), str(tmp_path / "once")).rows == 2000


def test_two_tracks_of_one_hash_are_not_one_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "hashed", lambda tracks: worklist.np.zeros(len(tracks), worklist.np.uint64))
    assert worklist.write(stream(numbered(50), 10), str(tmp_path)).rows == 50


def test_a_worklist_survives_json(tmp_path: Path) -> None:
    work = worklist.write(stream(numbered(50), 10), str(tmp_path))
    assert Worklist.from_dict(work.as_dict()) == work


def test_a_manifest_in_memory_is_a_stream_too(tmp_path: Path) -> None:
    table = pa.table({"track": ["a", "b"], "path": ["x.wav", "s3://key:secret@b/y.wav"], "source": ["s", None]})
    work = worklist.write(worklist.of_table(table), str(tmp_path))
    rows = worklist.read_shard(str(tmp_path), work.segments[0].name, 0).to_pylist()
    assert [r["location"] for r in rows] == ["x.wav", "s3://key:secret@b/y.wav"]
    assert "secret" not in rows[1]["path"] and rows[0]["path"] == "x.wav"
    assert [r["source"] for r in rows] == ["s", None]
