"""Perturbed copies: what was asked for is written and told, bad files cost themselves, a rerun does what is missing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from synatt import manifest, perturbed
from synatt.errors import UsageError, WorkError
from synatt.manifest import Manifest
from synatt.perturb import LEVELS, Materials, materials
from synatt.perturbed import ADDED, SHARD_ROWS, file_name, perturb_rows


def in_turn(function, items, what):
    return [function(item) for item in items]


@pytest.fixture
def rows(clip_paths: list[str]) -> Manifest:
    made = [
        {
            "track": f"set one/é {i}.wav",
            "path": path,
            "label": i % 2,
            "generator": f"g{i}",
            "mood": "calm",
            "split": "eval",
        }
        for i, path in enumerate(clip_paths)
    ]
    return manifest.build(made, ("a", "b", "unknown"))


def written(path: str) -> pd.DataFrame:
    return manifest.read(path).table.to_pandas()


def test_every_recording_is_written_at_every_level_with_what_was_done(rows: Manifest, tmp_path: Path) -> None:
    table = written(perturb_rows(rows, str(tmp_path), LEVELS, in_turn, seed=3))
    assert len(table) == 4 * len(rows) and list(table.perturbation.unique()) == list(LEVELS)
    assert manifest.read(str(tmp_path)).classes == rows.classes
    for name in ("label", "generator", "mood", "split"):
        per_level = table.groupby("perturbation")[name].apply(list)
        assert all(values == rows.column(name) for values in per_level)
    assert (table.track == table.perturbation + "/" + table.original).all()
    for row in table.itertuples():
        wave, rate = sf.read(row.path, dtype="float32")
        before, _ = sf.read(rows.column("path")[rows.column("track").index(row.original)], dtype="float32")
        assert rate == 16_000 and wave.shape == before.shape
        assert np.array_equal(wave, before) == (row.perturbation == "clean") == (row.kind == "none")
        assert (json.loads(row.parameters) == {}) == (row.kind == "none")
    assert pd.read_parquet(tmp_path / "problems.parquet").empty


def test_a_seed_fixes_the_files_whatever_the_other_rows(rows: Manifest, tmp_path: Path) -> None:
    own = Materials(speech=tuple(rows.column("path")))
    few = rows.where(np.arange(len(rows)) % 3 == 0)
    tables = [
        written(perturb_rows(these, str(tmp_path / name), ["strong"], in_turn, materials=own, seed=seed))
        for name, these, seed in (("all", rows, 1), ("few", few, 1), ("other", few, 2))
    ]
    alls, fews, others = (t.set_index("track") for t in tables)
    read = lambda path: Path(path).read_bytes()  # noqa: E731
    for track in fews.index:
        assert read(alls.path[track]) == read(fews.path[track])
    assert any(read(fews.path[track]) != read(others.path[track]) for track in fews.index)


def test_babble_is_made_of_some_of_many_inputs(rows: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(perturbed, "render", lambda track, path, plan: seen.append(plan.materials.speech) or [])
    for most, wanted in ((5, 4), (12, 12), (100, 12)):
        monkeypatch.setattr(materials, "BABBLE_FILES", most)
        with pytest.raises(WorkError):
            perturb_rows(rows, str(tmp_path / str(most)), ["weak"], in_turn)
        assert len(seen[-1]) == wanted and set(seen[-1]) <= set(rows.column("path"))


def test_only_the_kinds_and_levels_asked_for(rows: Manifest, tmp_path: Path) -> None:
    table = written(perturb_rows(rows, str(tmp_path), ["medium"], in_turn, kinds=["codec", "room"]))
    assert set("+".join(table.kind).split("+")) == {"codec", "room"} and set(table.perturbation) == {"medium"}
    for bad, says in ((["severe"], "'severe'"), ([], "no perturbation level is given")):
        with pytest.raises(UsageError, match=says):
            perturb_rows(rows, str(tmp_path), bad, in_turn)
    with pytest.raises(UsageError, match="'hum'"):
        perturb_rows(rows, str(tmp_path), ["weak"], in_turn, kinds=["hum"])


def test_a_bad_recording_costs_itself_and_is_named(rows: Manifest, tmp_path: Path) -> None:
    (tmp_path / "torn.wav").write_bytes(Path(rows.column("path")[0]).read_bytes()[:60])
    bad = [{"track": "torn", "path": str(tmp_path / "torn.wav")}, {"track": "gone", "path": str(tmp_path / "gone.wav")}]
    both = manifest.concat([rows, manifest.build(bad, rows.classes)])
    table = written(perturb_rows(both, str(tmp_path / "out"), ["weak", "strong"], in_turn))
    assert len(table) == 2 * len(rows) and not set(table.original) & {"torn", "gone"}
    problems = pd.read_parquet(tmp_path / "out" / "problems.parquet").set_index("track")
    assert set(problems.index) == {"torn", "gone"} and problems.kind["gone"] == "missing"
    with pytest.raises(WorkError, match="none of the 2 recordings could be read"):
        perturb_rows(manifest.build(bad, rows.classes), str(tmp_path / "none"), ["weak"], in_turn)


def test_a_run_that_was_stopped_goes_on_and_another_one_begins_anew(clip_paths: list[str], tmp_path: Path) -> None:
    count = 2 * SHARD_ROWS + 3
    made = [{"track": f"t{i}", "path": clip_paths[i % len(clip_paths)]} for i in range(count)]
    rows, out = manifest.build(made, None), str(tmp_path / "out")
    done: list[int] = []

    def one_then_stop(function, items, what):
        done.append(function(items[0]))
        raise KeyboardInterrupt

    def counted(function, items, what):
        done.extend(function(item) for item in items)
        return done

    with pytest.raises(KeyboardInterrupt):
        perturb_rows(rows, out, ["weak"], one_then_stop)
    assert done == [SHARD_ROWS] and not (tmp_path / "out" / "manifest.parquet").exists()
    table = written(perturb_rows(rows, out, ["weak"], counted))
    assert done == [SHARD_ROWS, SHARD_ROWS, 3] and len(table) == count
    perturb_rows(rows, out, ["weak"], counted)
    assert len(done) == 3, "all was there"
    perturb_rows(rows, out, ["weak"], counted, seed=1)
    assert len(done) == 6, "another seed is another run"


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_track_gives_a_plain_name_of_its_own(one: str, other: str) -> None:
    name = file_name(one)
    assert name.isascii() and "/" not in name and len(name) <= 80 and name.endswith(".flac")
    assert (name == file_name(other)) == (one == other)


def test_the_added_columns_are_texts(rows: Manifest, tmp_path: Path) -> None:
    table = manifest.read(perturb_rows(rows, str(tmp_path), ["clean"], in_turn)).table
    assert all(str(table.schema.field(name).type) == "string" for name in ADDED)
