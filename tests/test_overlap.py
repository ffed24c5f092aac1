"""What evaluation shares with training: found, counted, told apart from what is not given, and scored without."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.overlap import Overlap, find_overlaps, normalised_sentence, overlap_frame, unseen_frame
from synatt.trained import Trained
from tests.scoredrows import rows, scorer


def trained(**columns: Any) -> Trained:
    hard = pd.DataFrame(columns)
    if "track" not in hard:
        hard["track"] = [f"train{i}" for i in range(len(hard))]
    return Trained(("m",), hard.astype(object), pd.DataFrame({"track": pd.Series([], dtype=object)}))


def by_kind(labelled: Any, seen: Trained) -> dict[str, Overlap]:
    return {o.kind: o for o in find_overlaps(labelled, seen, scorer())}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't stop.", "  dont\tSTOP"),
        ("well-known", "Well known!"),
        ("Straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("“Yes,” she said", "yes she said"),
        ("½ cup", "½ CUP…"),
    ],
)
def test_the_same_words_are_the_same_sentence(one: str, other: str) -> None:
    assert normalised_sentence(one) == normalised_sentence(other)


def test_other_words_are_another_sentence_and_punctuation_is_none() -> None:
    assert normalised_sentence("two cats") != normalised_sentence("too cats")
    assert normalised_sentence(" ?! ") == ""


@given(st.text())
def test_a_normalised_sentence_stays_as_it_is(text: str) -> None:
    once = normalised_sentence(text)
    assert normalised_sentence(once) == once
    assert once == once.strip() and "  " not in once


@given(st.text(st.characters(max_codepoint=126)), st.text(" .,;!?", max_size=4))
def test_case_and_punctuation_around_it_do_not_matter(text: str, around: str) -> None:
    assert normalised_sentence(around + text.upper() + around) == normalised_sentence(text)


def test_each_kind_is_found_in_its_own_column() -> None:
    labelled = rows(
        [0, 1, 2, 2],
        path=["/a/0.wav", "/a/1.wav", "/a/2.wav", "/a/3.wav"],
        speaker=["ann", "bob", "ann", "eve"],
        text=["One day.", "Two", "Three", None],
        generator=["g0", "g1", "natural", "new"],
    )
    seen = trained(
        track=["t3", "x"],
        path=["/b/0.wav", "/a/../a/1.wav"],
        speaker=["ann ", None],
        text=["one day", "four"],
        generator=["natural", "g1"],
    )
    found = by_kind(labelled, seen)
    touched = {kind: np.flatnonzero(o.touched).tolist() for kind, o in found.items()}
    assert touched["track"] == [3]
    assert touched["speaker"] == [0, 2]
    assert touched["sentence"] == [0]
    assert touched["unknown generator"] == [2]
    assert touched["any of these"] == [0, 2, 3]
    assert found["sentence"].compared.tolist() == [True, True, True, False]
    assert found["sentence"].apart.tolist() == [False, True, True, False]
    assert found["unknown generator"].compared.tolist() == [False, False, True, True]
    assert found["unknown generator"].apart.tolist() == [True, True, False, True]
    assert found["speaker"].shared == ("ann",)


def test_the_same_path_counts_whatever_its_credentials(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labelled = rows([0, 1, 1], path=[str(tmp_path / "a.wav"), "s3://bucket/b.wav", "/else.wav"])
    seen = trained(path=["a.wav", "s3://key:secret@bucket/b.wav"])
    assert by_kind(labelled, seen)["path"].touched.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("ours", "theirs", "who"),
    [
        ({"text": ["x", "y"]}, {}, "the training rows have"),
        ({}, {"text": ["x"]}, "the evaluated tracks have"),
        ({"text": [None, None]}, {"text": [None]}, "the evaluated tracks and the training rows have"),
    ],
)
def test_what_is_not_given_is_said_to_be_so_and_is_not_no_overlap(ours: Any, theirs: Any, who: str) -> None:
    overlaps = find_overlaps(rows([0, 1], **ours), trained(track=["x"], **theirs), scorer())
    row = overlap_frame(overlaps, 2).set_index("kind").loc["sentence"]
    assert row["reason"] == f"not given: {who} no text"
    assert np.isnan(row["share"])
    assert "sentence" not in unseen_frame(overlaps, rows([0, 1], **ours), scorer())["kind"].tolist()


def test_voices_stand_for_speakers_where_only_they_are_given() -> None:
    found = by_kind(rows([0, 1], voice=["v", "w"]), trained(voice=["w"]))["speaker"]
    assert found.column == "voice"
    assert found.touched.tolist() == [False, True]


def test_a_known_generator_is_meant_to_be_trained_on() -> None:
    found = by_kind(rows([0, 1], generator=["g0", "g1"]), trained(generator=["g0"]))["unknown generator"]
    assert found.reason == "no evaluated track is of an unknown algorithm"
    assert not found.touched.any()


def test_soft_labels_are_counted_apart_from_the_truth() -> None:
    seen = Trained(("m",), pd.DataFrame({"track": ["x"]}), pd.DataFrame({"track": ["t1"]}))
    found = by_kind(rows([0, 1]), seen)
    assert found["soft labels"].touched.tolist() == [False, True]
    assert not found["any of these"].touched.any()


def test_scores_without_an_overlap_are_those_of_the_other_rows_alone() -> None:
    labelled = rows([0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0], speaker=["s", "s", "s", "s", "n", "n"])
    overlaps = find_overlaps(labelled, trained(speaker=["s"]), scorer())
    table = unseen_frame(overlaps, labelled, scorer()).set_index(["kind", "rows"])
    assert table.loc[("speaker", "touched"), "macro_f1"] == 1
    assert table.loc[("speaker", "untouched"), "macro_f1"] == 0
    assert table.loc[("speaker", "untouched"), "n"] == 2
    assert table.loc[("track", "touched"), "n"] == 0
    assert np.isnan(table.loc[("track", "touched"), "accuracy"])
    row = overlap_frame(overlaps, len(labelled)).set_index("kind").loc["speaker"]
    assert (row["n_compared"], row["n_touched"], row["n_shared"], row["examples"]) == (6, 4, 1, "s")
    assert row["share"] == pytest.approx(4 / 6)
