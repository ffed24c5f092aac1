"""Which rows of which tables count as trained on."""

from pathlib import Path

import pandas as pd
import pytest

from synatt import manifest
from synatt.errors import UsageError
from synatt.trained import TrainedOnError, read_trained

CLASSES = ("a", "b", "unknown")
ROWS = [
    {"track": "labelled", "path": "x", "label": 1, "text": "Hello"},
    {"track": "train", "path": "x", "split": "train"},
    {"track": "held-out", "path": "x", "split": "eval", "label": 1},
    {"track": "unlabelled", "path": "x"},
    {"track": "soft", "path": "x", "split": "eval", "p": [0.2, 0.3, 0.5]},
]


def test_labels_the_split_and_soft_labels_say_what_was_trained_on(tmp_path: Path) -> None:
    manifest.write(str(tmp_path / "manifest.parquet"), manifest.build(ROWS, CLASSES))
    found = read_trained([str(tmp_path)], CLASSES)
    assert found.hard["track"].tolist() == ["labelled", "train"]
    assert found.soft["track"].tolist() == ["soft"]
    assert found.hard["label"].tolist() == [1, -1]
    assert found.hard["text"].tolist()[0] == "Hello"


def test_labels_are_read_by_the_tables_own_class_order_and_tables_add_up(tmp_path: Path) -> None:
    rows = [{"track": "one", "path": "x", "label": 0}]
    manifest.write(str(tmp_path / "m.parquet"), manifest.build(rows, ("b", "a", "unknown")))
    pd.DataFrame({"track": ["two", "one"], "label": ["unknown", "a"], "voice": ["v", "w"]}).to_csv(tmp_path / "t.csv")
    found = read_trained([str(tmp_path / "m.parquet"), str(tmp_path / "t.csv")], CLASSES)
    assert found.hard["label"].tolist() == [1, 2, 0]
    assert len(found.soft) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("track,label,split\nt,0,eval\n", "none of its 1 rows was trained on"),
        ("track,label\n", "none of its 0 rows was trained on"),
        ("track,label\nt,other\n", "label 'other' of track 't' is not a predicted class"),
        ("name,label\nt,0\n", "has no column 'track'"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line_that_names_the_option(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TrainedOnError, match=says) as caught:
        read_trained([str(tmp_path / "t.csv")], CLASSES)
    assert str(caught.value).startswith("--trained-on")
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    for name in ("nowhere.csv", "nowhere"):
        with pytest.raises(UsageError, match=f"no such .*{name}"):
            read_trained([str(tmp_path / name)], CLASSES)
