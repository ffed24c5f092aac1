"""`prepare` on the data tree of the original's README."""

from pathlib import Path

import pandas as pd
import pytest

from synatt import manifest
from synatt.datasets import Options, prepare
from synatt.datasets.collect import collect

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"


@pytest.fixture
def frame(data: Path) -> pd.DataFrame:
    found = collect([str(data)], ["auto"], Options())
    assert found.problems.num_rows == 0
    assert found.manifest is not None
    return found.manifest.table.to_pandas()


def test_the_whole_tree_is_found_from_its_root_with_the_methods_shares(frame: pd.DataFrame) -> None:
    assert frame["source"].value_counts().to_dict() == {
        "spcup": 50,
        "spcup_unseen": 10,
        "spcup_eval_part1": 8,
        "spcup_eval_part2": 6,
        "ljspeech": 12,  # 48 % of 25
        "vctk": 7 * 3,  # 13.9 % of 20 is 2.78
        "librispeech": 7 * 3,  # 13.6 % of 22 is 2.992
        "synthetic": 6 * (3 * 3 + 5),  # half of 5 is 2.5, halves go up; algorithm 3 whole
    }


def test_labels_are_class_indices_and_external_speech_is_unknown(frame: pd.DataFrame) -> None:
    spcup = frame[frame["source"] == "spcup"]
    assert (spcup["label"] == spcup["track"].str[0].astype(int)).all()
    external = frame[frame["source"].isin(["spcup_unseen", "ljspeech", "vctk", "librispeech", "synthetic"])]
    assert set(external["label"]) == {5}
    assert set(external["split"]) == {"train"}


def test_evaluation_tracks_have_a_part_and_neither_label_nor_fold(frame: pd.DataFrame) -> None:
    hidden = frame[frame["split"] == "eval"]
    assert hidden["label"].isna().all() and hidden["fold"].isna().all()
    assert hidden.groupby("part").size().to_dict() == {1: 8, 2: 6}


def test_only_part_1_trains_on_librispeech(frame: pd.DataFrame) -> None:
    training = frame[frame["split"] == "train"]
    assert set(training.loc[training["source"] == "librispeech", "part"]) == {1}
    assert training.loc[training["source"] != "librispeech", "part"].isna().all()


def test_sp_cup_tracks_keep_the_name_of_their_table_and_others_are_prefixed(frame: pd.DataFrame) -> None:
    names = set(frame["track"])
    assert {"000.wav", "u3.wav", "e1_7.wav", "e2_5.wav"} <= names
    assert frame.loc[frame["source"] == "ljspeech", "track"].str.fullmatch(r"ljspeech/LJ001-\d{4}").all()
    assert frame.loc[frame["source"] == "synthetic", "track"].str.fullmatch(r"synthetic/exp\d/alg\d_\d").all()


def test_every_path_is_absolute_and_there(frame: pd.DataFrame) -> None:
    assert all(Path(p).is_absolute() and Path(p).is_file() for p in frame["path"])


def test_speakers_are_those_the_method_knows(frame: pd.DataFrame) -> None:
    speakers = frame[frame["source"] == "spcup"].groupby("label")["speaker"].agg(lambda s: set(s.dropna()))
    assert speakers.to_dict() == {0: {"spcup-0"}, 1: {"ljspeech"}, 2: {"ljspeech"}, 3: {"ljspeech"}, 4: set()}
    assert set(frame.loc[frame["source"] == "ljspeech", "speaker"]) == {"ljspeech"}
    assert "vctk-225" in set(frame["speaker"])


def test_folds_follow_the_rule_of_each_set(frame: pd.DataFrame) -> None:
    assert frame.loc[frame["split"] == "train", "fold"].notna().all()
    spcup = frame[frame["source"] == "spcup"]
    assert (spcup.groupby(["label", "fold"]).size() == 2).all()
    for source in ("vctk", "librispeech"):
        rows = frame[frame["source"] == source]
        assert (rows.groupby("speaker")["fold"].nunique() == 1).all()
        assert rows["fold"].nunique() == 5
    other = frame[frame["source"] == "synthetic"]
    experiment = other["track"].str.split("/").str[1]
    assert (other.groupby(experiment)["fold"].nunique() == 1).all()
    assert other["fold"].nunique() == 5


def test_a_second_run_gives_the_same_table_and_another_seed_another_draw(data: Path, frame: pd.DataFrame) -> None:
    again = collect([str(data)], ["auto"], Options()).manifest
    other = collect([str(data)], ["auto"], Options(seed=7)).manifest
    assert again is not None and other is not None
    pd.testing.assert_frame_equal(again.table.to_pandas(), frame)
    drawn = [set(t.loc[t["source"] == "vctk", "track"]) for t in (frame, other.table.to_pandas())]
    assert len(drawn[0]) == len(drawn[1]) and drawn[0] != drawn[1]


def test_the_draw_does_not_depend_on_the_order_of_the_table(data: Path, frame: pd.DataFrame) -> None:
    table = data / "vctk-sr16k-dataset" / "metadata.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(rows)]) + "\n")
    turned = collect([str(data)], ["auto"], Options()).manifest
    assert turned is not None
    rows_now = turned.table.to_pandas().set_index("track")["fold"]
    pd.testing.assert_series_equal(rows_now.sort_index(), frame.set_index("track")["fold"].sort_index())


def test_shares_can_be_chosen(data: Path) -> None:
    options = Options(shares={"vctk": 1.0, "ljspeech": 0.0, "synthetic": 1.0})
    found = collect([str(data)], ["auto"], options).manifest
    assert found is not None
    counts = found.table.to_pandas()["source"].value_counts()
    assert counts["vctk"] == 140 and counts["synthetic"] == 120 and "ljspeech" not in counts


@pytest.mark.parametrize(
    ("layout", "folder", "sources"),
    [
        ("spcup", "", {"spcup", "spcup_unseen", "spcup_eval_part1", "spcup_eval_part2"}),
        ("vctk", "", {"vctk"}),
        ("vctk", "vctk-sr16k-dataset", {"vctk"}),
        ("librispeech", "librispeech-small-dataset", {"librispeech"}),
        ("ljspeech", "ljspeech-sr16k-dataset", {"ljspeech"}),
        ("synthetic", "sp22-synthetic-dataset", {"synthetic"}),
        ("spcup", "spcup_2022_unseen", {"spcup_unseen"}),
        ("auto", "spcup_2022_eval_part2/spcup_2022_eval_part2", {"spcup_eval_part2"}),
    ],
)
def test_one_layout_can_be_asked_for(data: Path, layout: str, folder: str, sources: set[str]) -> None:
    found = collect([str(data / folder)], [layout], Options())
    assert found.problems.num_rows == 0
    assert found.manifest is not None
    assert set(found.manifest.column("source")) == sources
    assert found.manifest.classes is None or found.manifest.classes[-1] == "unknown"


def test_several_inputs_make_one_manifest_and_overlapping_ones_count_once(data: Path, frame: pd.DataFrame) -> None:
    whole = collect([str(data), str(data / "vctk-sr16k-dataset")], ["auto"], Options())
    assert whole.manifest is not None
    assert sorted(whole.manifest.column("track")) == sorted(frame["track"])
    assert set(whole.problems.column("kind").to_pylist()) == {"duplicate_track"}


def test_both_tables_are_written_and_can_be_read_back(data: Path, tmp_path: Path) -> None:
    path = prepare([str(data)], str(tmp_path / "out"))
    assert path == str(tmp_path / "out" / "manifest.parquet")
    back = manifest.read(path)
    assert back.classes == ("algorithm_0", "algorithm_1", "algorithm_2", "algorithm_3", "algorithm_4", "unknown")
    assert manifest.storage.read_table(str(tmp_path / "out" / "problems.parquet")).schema.equals(manifest.PROBLEMS)


def test_a_bucket_gives_the_same_rows_as_a_folder(data: Path, frame: pd.DataFrame) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(data), "/bucket/data", recursive=True)
    path = prepare(["memory://bucket/data/"], "memory://bucket/out")
    remote = manifest.read(path).table.to_pandas()
    assert remote["path"].str.startswith("memory://bucket/data/").all()
    assert memory.exists("/bucket/data/" + remote["path"][0].removeprefix("memory://bucket/data/"))
    pd.testing.assert_frame_equal(remote.drop(columns="path"), frame.drop(columns="path"))


def test_ljspeech_as_first_published_has_bars_and_no_header(tmp_path: Path, put) -> None:
    names = [f"LJ001-{i:04d}" for i in range(4)]
    put(tmp_path / "LJSpeech-1.1" / "wavs", [f"{n}.wav" for n in names])
    lines = [f'{n}|Printing, "in the only sense|Printing, "in the only sense' for n in names]
    (tmp_path / "LJSpeech-1.1" / "metadata.csv").write_text("\n".join(lines) + "\n")
    found = collect([str(tmp_path / "LJSpeech-1.1")], ["auto"], Options(shares={"ljspeech": 1.0}))
    assert found.problems.num_rows == 0 and found.manifest is not None
    assert found.manifest.column("track") == [f"ljspeech/{n}" for n in names]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared attribution corpus is not beside the repository")
def test_the_attribution_corpus_is_an_sp_cup_tree() -> None:
    found = collect([str(CORPUS)], ["spcup"], Options())
    assert found.problems.num_rows == 0
    assert found.manifest is not None
    frame = found.manifest.table.to_pandas()
    assert frame.groupby("source").size().to_dict() == {
        "spcup": 700,
        "spcup_natural": 120,
        "spcup_unseen": 180,
        "spcup_eval_part1": 480,
        "spcup_eval_part2": 480,
    }
    # Who speaks there is not what is known of the competition's own set.
    assert frame["speaker"].isna().all()
