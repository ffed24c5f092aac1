"""ASVspoof-style protocol files; sample lines are of the published protocols."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.datasets import PRESETS, Options, ProtocolOptions
from synatt.datasets import protocol as protocol_module
from synatt.datasets.collect import Collected, collect
from synatt.datasets.protocol import parse
from synatt.errors import UsageError


def read(root: Path, **asked) -> Collected:
    classes = asked.pop("classes", None)
    return collect([str(root)], ["protocol"], Options(classes=classes, protocol=ProtocolOptions(**asked)))


def rows(found: Collected) -> dict[str, dict]:
    assert found.manifest is not None
    return {r["track"].rpartition("/")[2]: r for r in found.manifest.table.to_pylist()}


@pytest.fixture
def la2019(tmp_path: Path, put) -> Path:
    """LA of ASVspoof 2019, one or two lines a split."""
    root = tmp_path / "LA"
    protocols = root / "ASVspoof2019_LA_cm_protocols"
    protocols.mkdir(parents=True)
    for split, ending, lines in [
        ("train", "trn", ["LA_0079 LA_T_1138215 - - bonafide", "LA_0079 LA_T_1271820 - A01 spoof"]),
        ("dev", "trl", ["LA_0069 LA_D_1047731 - - bonafide", "LA_0069 LA_D_1105538 - A06 spoof"]),
        ("eval", "trl", ["LA_0039 LA_E_2834763 - A11 spoof"]),
    ]:
        (protocols / f"ASVspoof2019.LA.cm.{split}.{ending}.txt").write_text("\n".join(lines) + "\n")
        put(root / f"ASVspoof2019_LA_{split}" / "flac", [f"{line.split()[1]}.flac" for line in lines])
    return root


def test_asvspoof_2019_is_known_by_its_files(la2019: Path) -> None:
    found = collect([str(la2019)], ["auto"], Options())
    assert found.problems.num_rows == 0 and found.manifest is not None
    assert found.manifest.classes == ("A01", "A02", "A03", "A04", "A05", "A06", "unknown")
    seen = {k: (r["split"], r["label"], r["generator"], r["speaker"]) for k, r in rows(found).items()}
    assert seen == {
        "LA_T_1138215": ("train", 6, None, "asvspoof2019-la-LA_0079"),
        "LA_T_1271820": ("train", 0, "A01", "asvspoof2019-la-LA_0079"),
        "LA_D_1047731": ("dev", 6, None, "asvspoof2019-la-LA_0069"),
        "LA_D_1105538": ("dev", 5, "A06", "asvspoof2019-la-LA_0069"),
        "LA_E_2834763": ("eval", 6, "A11", "asvspoof2019-la-LA_0039"),
    }
    assert {k for k, r in rows(found).items() if r["fold"] is not None} == {"LA_T_1138215", "LA_T_1271820"}


def test_the_known_attacks_can_be_chosen(la2019: Path) -> None:
    found = read(la2019, preset="asvspoof2019-la", classes=("A01", "A11"))
    assert {k: r["label"] for k, r in rows(found).items() if r["generator"]} == {
        "LA_T_1271820": 0,
        "LA_D_1105538": 2,
        "LA_E_2834763": 1,
    }


def test_audio_of_splits_that_were_not_asked_for_is_no_problem(la2019: Path, put) -> None:
    train = la2019 / "ASVspoof2019_LA_cm_protocols" / "ASVspoof2019.LA.cm.train.trn.txt"
    put(la2019 / "ASVspoof2019_LA_train" / "flac", ["LA_T_9999999.flac"])
    found = read(la2019, preset="asvspoof2019-la", files=(str(train),))
    assert [p["track"] for p in found.problems.to_pylist()] == ["ASVspoof2019_LA_train/flac/LA_T_9999999.flac"]
    assert set(rows(found)) == {"LA_T_1138215", "LA_T_1271820"}


def test_asvspoof_2021_trial_metadata(tmp_path: Path, put) -> None:
    la, df = tmp_path / "keys" / "LA" / "CM", tmp_path / "keys" / "DF" / "CM"
    for folder, lines in [
        (
            la,
            [
                "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
                "LA_0001 LA_E_1 pstn mad_tx - bonafide notrim progress",
            ],
        ),
        (df, ["LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -"]),
    ]:
        folder.mkdir(parents=True)
        (folder / "trial_metadata.txt").write_text("\n".join(lines) + "\n")
        put(tmp_path / "ASVspoof2021_eval" / "flac", [f"{line.split()[1]}.flac" for line in lines])
    found = rows(collect([str(tmp_path)], ["auto"], Options()))
    assert {k: (r["source"], r["split"], r["label"], r["generator"]) for k, r in found.items()} == {
        "LA_E_9332881": ("asvspoof2021-la", "eval", 6, "A07"),
        "LA_E_1": ("asvspoof2021-la", "dev", 6, None),
        "DF_E_2000011": ("asvspoof2021-df", "dev", 6, "A14"),
    }


def test_asvspoof_5_protocols(tmp_path: Path, put) -> None:
    for name, line, audio in [
        ("train", "T_4850 T_0000000000 F - - - AC3 A05 spoof -", "flac_T"),
        ("dev.track_1", "D_0062 D_0000000001 F - - - AC1 A11 spoof -", "flac_D"),
        ("eval.track_1", "E_1607 E_0009538969 M C05 2 E_0009486171 - bonafide bonafide -", "flac_E_eval"),
    ]:
        (tmp_path / f"ASVspoof5.{name}.tsv").write_text(line + "\n")
        put(tmp_path / audio, [f"{line.split()[1]}.flac"])
    found = collect([str(tmp_path)], ["auto"], Options())
    assert found.problems.num_rows == 0
    assert {k: (r["split"], r["label"], r["generator"]) for k, r in rows(found).items()} == {
        "T_0000000000": ("train", 4, "A05"),
        "D_0000000001": ("dev", 8, "A11"),
        "E_0009538969": ("eval", 8, None),
    }


def test_any_field_order_and_separator(tmp_path: Path, put) -> None:
    put(tmp_path / "audio", ["x/one.wav", "two.wav", "three.wav"])
    trn, trl = tmp_path / "trn.csv", tmp_path / "trl.csv"
    trn.write_text('key,attack,file\nspoof,TTS 1,x/one.wav\nbonafide,-,"two.wav"\n', encoding="utf-8-sig")
    trl.write_text("key,attack,file\nspoof,VC9,three\n")
    found = read(
        tmp_path / "audio",
        files=(f"train={trn}", f"eval={trl}"),
        columns=("key", "attack", "file"),
        separator="comma",
        header=True,
    )
    assert found.problems.num_rows == 0 and found.manifest is not None
    assert found.manifest.classes == ("TTS 1", "unknown")
    assert {k: (r["split"], r["label"]) for k, r in rows(found).items()} == {
        "one": ("train", 0),
        "two": ("train", 1),
        "three": ("eval", 1),
    }


def test_without_an_attack_field_the_tracks_are_unlabelled(tmp_path: Path, put) -> None:
    put(tmp_path / "audio", ["a.wav"])
    (tmp_path / "list.txt").write_text("a\n")
    found = read(tmp_path / "audio", files=(f"eval={tmp_path / 'list.txt'}",), columns=("file",))
    assert found.manifest is not None and found.manifest.classes is None
    assert found.manifest.column("label") == [None]


def test_lines_that_do_not_fit_are_reported(tmp_path: Path, put) -> None:
    put(tmp_path / "audio", ["a.flac", "b.flac", "c.flac", "d.wav"])
    lines = [
        "s a - A01 spoof",
        "s b - - spoof",
        "s c - A01 maybe",
        "s gone - A01 spoof",
        "s short",
        "",
        "s a - A01 spoof",
    ]
    (tmp_path / "p.txt").write_text("\r\n".join(lines) + "\r\n")
    found = read(
        tmp_path / "audio",
        files=(str(tmp_path / "p.txt"),),
        columns=("speaker", "file", "-", "attack", "key"),
        suffix=".flac",
    )
    assert sorted((p["kind"], p["track"]) for p in found.problems.to_pylist() if p["track"]) == [
        ("duplicate_track", "audio/a"),
        ("label_without_file", "audio/gone"),
        ("unknown_label", "audio/b"),
        ("unknown_label", "audio/c"),
    ]
    malformed = [p for p in found.problems.to_pylist() if p["kind"] == "malformed_line"]
    assert len(malformed) == 1 and malformed[0]["detail"].startswith("line 5 has 2 fields, 5 are needed")
    assert set(rows(found)) == {"a"}


def test_wrong_protocol_choices_are_usage_errors(tmp_path: Path, put) -> None:
    put(tmp_path, ["a.wav"])
    (tmp_path / "p.txt").write_text("a A01\n")
    file = (str(tmp_path / "p.txt"),)
    for asked, message in [
        ({}, "needs a field order"),
        ({"columns": ("file",)}, "needs --protocol"),
        ({"files": file, "columns": ("file", "codec")}, "'codec' is not a field"),
        ({"files": file, "columns": ("attack",)}, "'file' is needed"),
        ({"files": file, "columns": ("file", "key")}, "no 'attack'"),
        ({"files": file, "columns": ("file", "attack"), "separator": "::"}, "blank, comma, tab or one character"),
        ({"files": (f"eval={file[0]}",), "columns": ("file", "attack")}, "give --classes"),
        ({"files": (str(tmp_path / "no.txt"),), "columns": ("file",)}, "no.txt"),
        ({"preset": "asvspoof5"}, "holds no protocol of asvspoof5"),
        ({"preset": "asvspoof1999"}, "no preset"),
    ]:
        with pytest.raises(UsageError, match=message):
            read(tmp_path, **asked)


def test_the_names_offered_are_the_presets_there_are() -> None:
    assert tuple(protocol_module.PRESETS) == PRESETS


# Every character that can stand in a file name but blanks, which separate fields, and line ends.
word = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\n\t "), min_size=1)


@given(
    st.lists(st.tuples(word, word, word), max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([" ", "\t", "  "]),
)
def test_blank_separated_lines_come_back_as_written(lines: list[tuple[str, str, str]], end: str, gap: str) -> None:
    text = "".join(gap.join(fields) + end for fields in lines)
    table, problems = parse(text, "p.txt", ("speaker", "file", "attack"), "blank", header=False)
    assert list(table.itertuples(index=False, name=None)) == lines
    assert problems.empty


@given(st.lists(st.tuples(word, word), min_size=1, max_size=10), st.integers(0, 9))
def test_a_short_line_never_shifts_its_neighbours(lines: list[tuple[str, str]], at: int) -> None:
    texts = [" ".join(fields) for fields in lines]
    texts.insert(min(at, len(texts)), "short")
    table, problems = parse("\n".join(texts), "p.txt", ("file", "attack"), "blank", header=False)
    assert list(table.itertuples(index=False, name=None)) == lines
    assert isinstance(problems, pd.DataFrame) and problems["kind"].tolist() == ["malformed_line"]
