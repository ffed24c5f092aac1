"""Publishing: staged blocks become one checked file a table, or nothing is there at all."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch

from synatt import backbones, model, publish, staged, storage, worklist
from synatt.ensemble import Ensemble, plan
from synatt.errors import WorkError
from synatt.predictions import table_schemas
from synatt.publish import Merge, Summary, check_keys, merge_segment, move_into_place, summary_lines
from synatt.staging import stage_shard
from synatt.worklist import Worklist
from tests.conftest import CLASSES, make_tiny_recipe

KINDS = ("predictions", "members", "embeddings")
SCHEMAS = table_schemas(CLASSES, 64)
BACKBONES = ("A", "B")
# Of the first and the last row nothing is known; the others come from all sorts of places.
SOURCES = [None, "../../x", "a/b=c", "", ".", "..", "Übung 100 %", "web", "web", "web", "web", "web", None]
TRACKS = [f"t{i:02d}" for i in range(13)]


@dataclass(frozen=True)
class Run:
    """A scored run: its worklist and staged files."""

    folder: Path
    work: Worklist

    def merge(self, ready: Path, **changes: Any) -> Merge:
        folders = (str(self.folder / "work"), self.work.segments[0].name, str(self.folder / "scored"), str(ready))
        return replace(Merge(*folders, 0, KINDS, CLASSES, 64, None, False, {"run": '{"models": "x"}'}), **changes)


def write_run(folder: Path, models: Path, paths: list[str]) -> Run:
    table = pa.table({"track": TRACKS[: len(paths)], "path": paths, "source": pa.array(SOURCES[: len(paths)])})
    rows = worklist.of_table(table.cast(pa.schema([(c, pa.string()) for c in table.column_names])))
    work = worklist.write(rows, str(folder / "work"), max_shard_rows=8)
    ensemble = Ensemble(plan([str(models)]), torch.device("cpu"))
    for segment in work.segments:
        for number, shard in enumerate(worklist.iter_shards(str(folder / "work"), segment.name)):
            for units in stage_shard(shard, ensemble.plan):
                scores = ensemble.score(units.logmels, units.tracks)
                for kind, made in staged.tables(units, scores, ensemble.plan, "run-1", KINDS[1:]).items():
                    storage.write_table(str(folder / "scored" / kind / str(staged.Name.of(number, units))), made)
    return Run(folder, work)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(BACKBONES):
        recipe = make_tiny_recipe(name=name)
        torch.manual_seed(seed)
        model.save_model(str(folder / name), backbones.create(recipe.backbones[0], recipe), recipe, {}, [])
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, models: Path, clip_paths: list[str]) -> Run:
    """Twelve real clips, and one that is not there, in two shards."""
    found = write_run(tmp_path_factory.mktemp("run"), models, [*clip_paths[:7], "/none/gone.wav", *clip_paths[7:]])
    assert found.work.segments[0].shards == 2
    return found


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_each_table_is_one_file_with_the_rows_of_the_input_in_order(run: Run, tmp_path: Path) -> None:
    merge_segment(run.merge(tmp_path, part=7))
    assert files_below(tmp_path) == [f"{kind}/part-00007.parquet" for kind in sorted(KINDS)]
    found = pq.read_table(tmp_path / "predictions")
    assert found.column("track").to_pylist() == TRACKS
    assert found.column("status").to_pylist() == ["ok"] * 7 + ["error"] + ["ok"] * 5
    members = pq.read_table(tmp_path / "members")
    answered = [
        track for track, status in zip(TRACKS, found.column("status").to_pylist(), strict=True) if status == "ok"
    ]
    assert Counter(zip(*members.select(["track", "backbone"]).to_pydict().values(), strict=True)) == Counter(
        (track, name) for track in answered for name in BACKBONES
    )
    # The ensemble's probability is the mean of its members'.
    means = members.group_by("track").aggregate([("p_a", "mean")]).sort_by("track").column("p_a_mean").to_pylist()
    assert means == pytest.approx([p for p in found.column("p_a").to_pylist() if p is not None], abs=1e-6)
    assert len(pq.read_table(tmp_path / "embeddings")) == len(members)


def test_a_file_has_the_documented_schema_and_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    merge_segment(run.merge(tmp_path))
    for kind in KINDS:
        found = pq.read_schema(tmp_path / kind / "part-00000.parquet")
        assert found.equals(SCHEMAS[kind]), kind
        assert found.metadata[b"synatt.run"] == b'{"models": "x"}'
    found = pq.read_schema(tmp_path / "predictions" / "part-00000.parquet")
    assert json.loads(found.metadata[b"synatt.classes"]) == list(CLASSES)
    assert all(field.metadata[b"description"] for field in found)


def test_files_are_listed_with_their_rows_bytes_and_digest(run: Run, tmp_path: Path) -> None:
    files = merge_segment(run.merge(tmp_path))["files"]
    assert [(f["table"], f["rows"]) for f in files] == [("predictions", 13), ("members", 24), ("embeddings", 24)]
    for file in files:
        data = (tmp_path / file["file"]).read_bytes()
        assert file["bytes"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_shards_share_row_groups_that_can_be_skipped_by_their_statistics(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_segment(run.merge(tmp_path / "large"))
    assert pq.read_metadata(tmp_path / "large/predictions/part-00000.parquet").num_row_groups == 1
    monkeypatch.setattr(publish, "ROW_GROUP_ROWS", 8)
    merge_segment(run.merge(tmp_path / "small"))
    about = pq.read_metadata(tmp_path / "small/predictions/part-00000.parquet")
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [8, 5]
    track = about.row_group(1).column(0)
    assert track.path_in_schema == "track"
    assert (track.statistics.min, track.statistics.max) == ("t08", "t12")
    assert pq.read_table(tmp_path / "small/predictions").equals(pq.read_table(tmp_path / "large/predictions"))


def test_partitions_stay_below_their_table_whatever_the_sources_are_called(run: Run, tmp_path: Path) -> None:
    ready = tmp_path / "deep" / "ready"
    summary = merge_segment(run.merge(ready, by_source=True))
    assert files_below(tmp_path) == sorted(f"deep/ready/{file['file']}" for file in summary["files"])
    assert {Path(file["file"]).parts[1] for file in summary["files"]} == {
        "source=__none__",
        "source=..%2F..%2Fx",
        "source=a%2Fb%3Dc",
        "source=.",
        "source=..",
        "source=%C3%9Cbung 100 %25",
        "source=web",
    }
    assert summary["rows"] == 13
    for kind in KINDS:
        found = ds.dataset(ready / kind, partitioning="hive").to_table(columns=["track", "source"]).to_pylist()
        # An empty name cannot be told from none.
        wanted = {
            t: s or "__none__" for t, s in zip(TRACKS, SOURCES, strict=True) if kind == "predictions" or t != "t07"
        }
        assert {row["track"]: row["source"] for row in found} == wanted, kind
        assert len(found) == len(wanted) * (1 if kind == "predictions" else len(BACKBONES))


def test_recordings_of_one_window_are_published_alike_with_windows_and_without(run: Run, tmp_path: Path) -> None:
    merge_segment(run.merge(tmp_path / "whole"))
    merge_segment(run.merge(tmp_path / "windowed", window_s=1.0, tables=(*KINDS, "windows")))
    whole, windowed = (pq.read_table(tmp_path / name / "predictions") for name in ("whole", "windowed"))
    assert windowed.equals(whole)
    windows = pq.read_table(tmp_path / "windowed/windows")
    assert windows.schema.equals(SCHEMAS["windows"])
    assert windows.column("track").to_pylist() == [t for t in TRACKS if t != "t07"]


def copy_staged(run: Run, folder: Path) -> Path:
    """The run's staged files at a place where they may be harmed."""
    for name in files_below(run.folder / "scored"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((run.folder / "scored" / name).read_bytes())
    return folder


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_shard_that_is_not_staged_is_named_and_no_file_is_seen(run: Run, tmp_path: Path) -> None:
    scored = copy_staged(run, tmp_path / "scored")
    (block,) = (scored / "units").glob("000001-*")
    block.unlink()
    with pytest.raises(WorkError, match=r"shard 1 of segment-00000\.arrow has no staged rows"):
        merge_segment(run.merge(tmp_path / "ready", staging=str(scored)))
    assert files_below(tmp_path / "ready") == []


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_staged_rows_of_another_input_are_refused(run: Run, tmp_path: Path) -> None:
    scored = copy_staged(run, tmp_path / "scored")
    (block,) = (scored / "units").glob("000001-*")
    table = pq.read_table(block)
    changed = table.set_column(0, "track", pa.array(["t08", "t08", "other", "t11", "t12"]))
    pq.write_table(changed, block)
    with pytest.raises(WorkError, match="shard 1: .*5 rows asked, 5 written, 2 missing, 1 there twice"):
        merge_segment(run.merge(tmp_path / "ready", staging=str(scored)))
    assert files_below(tmp_path / "ready") == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["a", "b"], "3 rows asked, 2 written, 1 missing, 0 there twice"),
        (["a", "b", "c", "d"], "3 rows asked, 4 written, 0 missing, 0 there twice"),
        (["a", "b", "b"], "3 rows asked, 3 written, 1 missing, 1 there twice"),
        (["a", "c", "b"], "3 rows asked, 3 written, 0 missing, 0 there twice"),
        ([], "3 rows asked, 0 written, 3 missing, 0 there twice"),
    ],
)
def test_keys_that_differ_from_the_input_in_any_way_are_an_error(found: list[str], said: str) -> None:
    with pytest.raises(WorkError, match=f"shard 5: the predictions do not match the input: {said}"):
        check_keys(pa.array(["a", "b", "c"]), pa.chunked_array([found], pa.string()), "shard 5")


def test_keys_may_come_in_any_number_of_pieces() -> None:
    check_keys(pa.array(["a", "b", "c"]), pa.chunked_array([["a"], [], ["b", "c"]], pa.string()), "here")


@pytest.mark.parametrize("by_source", [False, True])
def test_an_empty_input_becomes_empty_tables_with_all_columns(tmp_path: Path, models: Path, by_source: bool) -> None:
    nothing = write_run(tmp_path / "run", models, [])
    summary = Summary.from_dict(merge_segment(nothing.merge(tmp_path / "ready", by_source=by_source)))
    assert (summary.rows, summary.failed, len(summary.files)) == (0, 0, 3)
    for kind in KINDS:
        found = pq.read_table(tmp_path / "ready" / kind / "part-00000.parquet")
        assert len(found) == 0
        assert found.schema.equals(SCHEMAS[kind])


def test_what_the_rows_came_to_is_counted_and_survives_json(run: Run, tmp_path: Path) -> None:
    found = Summary.from_dict(json.loads(json.dumps(merge_segment(run.merge(tmp_path)))))
    table = pq.read_table(tmp_path / "predictions")
    assert (found.rows, found.failed, found.audio_s) == (13, 1, 12.0)
    assert found.errors == {"missing": 1}
    assert found.algorithms == Counter(table.column("algorithm_name").drop_null().to_pylist())
    assert found.algorithms.total() == 12


def test_sums_of_segments_add_up() -> None:
    one = Summary(2, 3.0, Counter(a=2), Counter(), [{"file": "x"}])
    one.merge(Summary(3, 1.5, Counter(a=1, b=1), Counter(missing=1), [{"file": "y"}]))
    assert one == Summary(5, 4.5, Counter(a=3, b=1), Counter(missing=1), [{"file": "x"}, {"file": "y"}])


def test_a_person_reads_the_counts_largest_first() -> None:
    lines = list(summary_lines(Summary(1_500, 5_400.0, Counter(b=400, a=1_000), Counter(missing=99, silent=1), [])))
    assert lines[0] == "1,500 rows: 1,400 ok, 100 errors, 1.50 h of audio"
    assert [line.split() for line in lines[1:]] == [
        ["a", "1,000"],
        ["b", "400"],
        ["error", "missing", "99"],
        ["error", "silent", "1"],
    ]


def test_finished_tables_are_moved_and_a_move_that_was_stopped_goes_on(tmp_path: Path) -> None:
    ready, output = tmp_path / "out/_staging/ready", tmp_path / "out"
    for kind in KINDS[:2]:
        (ready / kind).mkdir(parents=True)
        (ready / kind / "part-00000.parquet").write_text(kind)
    move_into_place(str(ready), str(output), ("predictions",))
    assert files_below(output) == ["_staging/ready/members/part-00000.parquet", "predictions/part-00000.parquet"]
    move_into_place(str(ready), str(output), KINDS[:2])
    assert files_below(output) == ["members/part-00000.parquet", "predictions/part-00000.parquet"]
    assert (output / "members/part-00000.parquet").read_text() == "members"
