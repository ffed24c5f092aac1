"""The predict job on every kind of input, with every table, over damaged files; and what it refuses."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

import synatt
from synatt.staging import Windows
from tests.conftest import make_tiny_recipe
from tests.damage import make_damage
from tests.predictrun import write_model

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    for seed, name in enumerate(("A", "B")):
        write_model(folder / name, make_tiny_recipe(name=name), seed)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def direct(models: Path, clip_paths: list[str]) -> pd.DataFrame:
    """What the Python call says of the twelve clips."""
    return synatt.load(str(models)).predict(clip_paths)


def numbers(frame: pd.DataFrame) -> np.ndarray:
    return frame[[c for c in frame.columns if c.startswith("p_")] + ["confidence", "unknown_score"]].to_numpy(float)


def test_files_tars_lists_and_audio_in_parquet_of_any_codec_give_the_same_answers(
    job, models, clip_paths, speech_wave, direct, place
):
    with tarfile.open(place / "shard.tar", "w") as tar:
        for path in clip_paths:
            tar.add(path, Path(path).name)
    audio = [{"bytes": Path(p).read_bytes(), "path": Path(p).name} for p in clip_paths]
    pq.write_table(pa.table({"track": [f"cell{i}" for i in range(12)], "audio": audio}), place / "held.parquet")
    (place / "list.txt").write_text("\n".join(clip_paths[:5]) + "\n")
    cells = []
    for format, subtype in [("WAV", "PCM_U8"), ("WAV", "ULAW"), ("FLAC", "PCM_24"), ("OGG", "OPUS"), ("MP3", None)]:
        out = io.BytesIO()
        sf.write(out, speech_wave, 16_000, format=format, subtype=subtype)
        cells.append(out.getvalue())
    pq.write_table(pa.table({"track": [f"codec{i}" for i in range(5)], "bytes": cells}), place / "codecs.parquet")
    argv = [
        a for name in ("shard.tar", "held.parquet", "list.txt", "codecs.parquet") for a in ("--input", place / name)
    ]
    argv += ["--input", Path(clip_paths[0]).parent, "--models", models, "--output", place / "kinds"]
    code, out, err = job("predict", *argv)
    assert code == 0, err
    table = pd.read_parquet(out.splitlines()[-1])
    assert len(table) == table.track.nunique() == 12 + 12 + 5 + 5 + 12
    assert (table.status == "ok").all()
    for start, count in ((0, 12), (12, 12), (24, 5), (34, 12)):
        np.testing.assert_allclose(numbers(table[start : start + count]), numbers(direct[:count]), atol=1e-5)
    assert table.track[0] == "shard/clip00.wav" and table.path[0].endswith("shard.tar#clip00.wav")
    assert np.allclose(table.duration_s[29:34], 6.0, atol=0.1)


def test_260_damaged_and_odd_files_cost_their_own_rows_only(job, models, clip_paths, speech_wave, place, tmp_path):
    (tmp_path / "in").mkdir()
    damaged = make_damage(tmp_path / "in", speech_wave, seed=11, count=260)
    rows = [{"track": f"good{i}", "path": path} for i, path in enumerate(clip_paths)]
    every = max(1, len(damaged) // len(rows))
    mixed = [{"track": d.track, "path": str(d.path)} for d in damaged]
    for i, row in enumerate(rows):
        mixed.insert(i * (every + 1), row)
    pd.DataFrame(mixed).to_parquet(tmp_path / "mixed.parquet")
    code, out, err = job(
        "predict", "--input", tmp_path / "mixed.parquet", "--models", models, "--output", tmp_path / "mixed"
    )
    assert code == 0, err
    table = pd.read_parquet(out.splitlines()[-1]).set_index("track")
    assert len(table) == len(mixed) and set(table.index) == {row["track"] for row in mixed}
    for d in damaged:
        row = table.loc[d.track]
        if d.expect == "ok":
            assert row.status == "ok", (d.track, row.error)
        elif d.expect is not None:
            assert row.status == "error" and row.error.startswith(f"{d.expect}: "), (d.track, row.error)
        assert pd.isna(row.error) == (row.status == "ok")
        assert pd.isna(row.confidence) == (row.status == "error")
    # Bit for bit: a neighbour's answer depends on nothing but its own samples.
    alone = pd.read_parquet(place / "kinds" / "predictions").set_index("path")[lambda t: t.index.isin(clip_paths)]
    good = table.loc[[row["track"] for row in rows]].set_index("path")
    alone = alone[~alone.index.duplicated()].loc[good.index].drop(columns=["track", "run"])
    pd.testing.assert_frame_equal(good.drop(columns="run"), alone, check_exact=True, check_dtype=False)
    assert f"{len(mixed):,} rows: " in err and " errors, " in err


def test_long_recordings_in_windows_are_the_python_calls_and_have_a_row_a_window(
    job, models, speech_wave, clip_paths, tmp_path
):
    long = np.tile(speech_wave, 4)  # 24 s
    sf.write(tmp_path / "long.flac", long, 16_000)
    (tmp_path / "bad.flac").write_bytes((tmp_path / "long.flac").read_bytes()[:200_000])
    rows = {"track": ["long", "short", "bad"], "path": [str(tmp_path / "long.flac"), clip_paths[0]]}
    rows["path"].append(str(tmp_path / "bad.flac"))
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    argv = ["--input", tmp_path / "rows.parquet", "--models", models, "--output", tmp_path / "out"]
    code, _, err = job("predict", *argv, "--windows", "0.5", "--window-rows", "--members", "--embeddings")
    assert code == 0, err
    table = pd.read_parquet(tmp_path / "out" / "predictions").set_index("track")
    windows = pd.read_parquet(tmp_path / "out" / "windows")
    assert list(table.index) == rows["track"] and list(table.status) == ["ok", "ok", "error"]
    assert table.error["bad"].startswith("corrupt: decoding stopped at")
    mine = windows[windows.track == "long"]
    # 24 s in windows of 1 s every 0.5 s.
    assert list(mine.start_s) == [i * 0.5 for i in range(47)] and list(mine.end_s) == [1 + i * 0.5 for i in range(47)]
    mean = mine.filter(like="p_").mean().to_numpy()
    np.testing.assert_allclose(mean, table.loc["long"].filter(like="p_").to_numpy(float), atol=1e-6)
    assert 0 < (windows.track == "bad").sum() < 47
    direct = synatt.load(str(models)).predict([rows["path"][0]], windows=Windows(0.5))
    np.testing.assert_allclose(numbers(direct)[0], numbers(table.loc[["long"]])[0], atol=1e-5)
    for name in ("members", "embeddings"):
        assert pd.read_parquet(tmp_path / "out" / name).groupby("track").size().to_dict() == {"long": 2, "short": 2}


def test_partitions_by_source_hold_every_row_once_and_the_commit_lists_every_file(job, models, clip_paths, tmp_path):
    rows = {"track": [f"t{i}" for i in range(12)], "path": clip_paths, "source": ["web", "../../x", None] * 4}
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    output = tmp_path / "o" / "out"
    argv = ["--input", tmp_path / "rows.parquet", "--models", models, "--output", output]
    code, _, err = job("predict", *argv, "--partition-by", "source", "--members", "--embeddings")
    assert code == 0, err
    table = pd.read_parquet(output / "predictions")
    assert sorted(table.track) == sorted(rows["track"])
    assert table.source.value_counts().to_dict() == {"web": 4, "../../x": 4, "__none__": 4}
    # A source is data: it may not lead out of the output.
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"out"}
    assert {p.name for p in output.iterdir()} == {"_manifest.json", "predictions", "members", "embeddings"}
    assert all(p.parent.parent == output / "predictions" for p in (output / "predictions").rglob("*.parquet"))

    commit = json.loads((output / "_manifest.json").read_text())
    listed = {f["file"]: f for f in commit["summary"]["files"]}
    there = {str(p.relative_to(output)): p for p in output.rglob("*.parquet")}
    assert set(listed) == set(there) and len(there) == 9
    for name, path in there.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name]["sha256"]
        assert path.stat().st_size == listed[name]["bytes"]
        metadata = pq.ParquetFile(path)
        assert metadata.metadata.num_rows == listed[name]["rows"]
        assert json.loads(metadata.schema_arrow.metadata[b"synatt.run"])["models"] == commit["models"]


def test_a_run_of_something_else_is_refused_by_name(job, models, clip_paths, tmp_path):
    rows = {"track": [f"t{i}" for i in range(12)], "path": clip_paths}
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    argv = ["--models", models, "--output", tmp_path / "out"]
    code, _, err = job("predict", "--input", tmp_path / "rows.parquet", *argv)
    assert code == 0, err
    code, _, err = job("predict", "--input", tmp_path / "rows.parquet", *argv)
    assert code == 0 and "complete already: 12 rows" in err
    pd.DataFrame(rows)[:11].to_parquet(tmp_path / "fewer.parquet")
    pd.DataFrame(rows)[::-1].to_parquet(tmp_path / "turned.parquet")
    for name, options, says in [
        ("fewer", [], "the number of input rows (12, now 11) changed"),
        ("turned", [], "the input rows changed"),
        ("rows", ["--members"], "the tables asked for"),
        ("rows", ["--windows"], "--windows changed"),
        ("rows", ["--partition-by", "source"], "--partition-by changed"),
        ("rows", ["--precision", "bfloat16"], "--engine or --precision changed"),
    ]:
        code, _, err = job("predict", "--input", tmp_path / f"{name}.parquet", *argv, *options)
        assert code == 2 and says in err.splitlines()[-1] and "--fresh" in err.splitlines()[-1], err
    code, out, err = job("predict", "--input", tmp_path / "fewer.parquet", *argv, "--fresh")
    assert code == 0 and len(pd.read_parquet(out.splitlines()[-1])) == 11, err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--window-rows"], "--window-rows needs --windows"),
        (["--windows", "0"], "between 0.05 and 1"),
        (["--partition-by", "speaker"], "invalid choice"),
        (["--stall-minutes", "-1"], "below 0"),
    ],
)
def test_bad_options_are_one_line(job, models, clip_paths, tmp_path, options, says):
    argv = ["--input", clip_paths[0], "--models", models, "--output", tmp_path / "out", *options]
    code, _, err = job("predict", *argv)
    assert code == 2 and says in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_not_overwritten(job, models, clip_paths, tmp_path):
    (tmp_path / "out" / "predictions").mkdir(parents=True)
    (tmp_path / "out" / "predictions" / "mine.parquet").write_bytes(b"precious")
    code, _, err = job("predict", "--input", clip_paths[0], "--models", models, "--output", tmp_path / "out")
    assert code == 2 and "no finished run wrote it" in err.splitlines()[-1]
    assert (tmp_path / "out" / "predictions" / "mine.parquet").read_bytes() == b"precious"


def test_tracks_that_stand_twice_are_one_line(job, models, clip_paths, tmp_path):
    pd.DataFrame({"track": ["a", "b", "a"], "path": clip_paths[:3]}).to_parquet(tmp_path / "rows.parquet")
    code, _, err = job(
        "predict", "--input", tmp_path / "rows.parquet", "--models", models, "--output", tmp_path / "out"
    )
    assert code == 2 and "1 tracks stand more than once in the input, first 'a'" in err.splitlines()[-1]
