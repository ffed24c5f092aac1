"""The one door to all kinds of input."""

from pathlib import Path

import pyarrow as pa
import pytest

from synatt import manifest
from synatt.errors import UsageError
from synatt.sources import read_rows
from tests.inputrows import refused, rows_of, tracks_of, write_tar


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """One input of each kind."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.wav").write_text("x")
    (tmp_path / "prepared").mkdir()
    manifest.write(
        str(tmp_path / "prepared" / "manifest.parquet"), manifest.build([{"track": "p", "path": "/p"}], None)
    )
    (tmp_path / "prepared" / "ignored.wav").write_text("x")
    (tmp_path / "m.csv").write_text("track,path\nm,/m\n")
    (tmp_path / "l.txt").write_text("/l.wav\n")
    write_tar(tmp_path / "t.tar", [("t.wav", b"x")])
    (tmp_path / "Zoë.FLAC").write_text("x")
    return tmp_path


KINDS = {
    "folder": "a.wav",
    "prepared": "p",
    "m.csv": "m",
    "l.txt": "/l.wav",
    "t.tar": "t/t.wav",
    "Zoë.FLAC": "Zoë.FLAC",
}


def test_several_inputs_of_every_kind_follow_each_other(inputs: Path) -> None:
    assert tracks_of(*[inputs / name for name in KINDS]) == list(KINDS.values())


@pytest.mark.parametrize("name", KINDS)
def test_an_input_may_be_named_from_where_one_is_or_by_uri(
    inputs: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    assert rows_of(name) == rows_of(inputs / name)
    assert tracks_of(f"file://{inputs}/{name}") == tracks_of(name)


def test_a_single_recording_is_one_row(inputs: Path) -> None:
    (row,) = rows_of(inputs / "folder" / "a.wav")
    path = f"{inputs}/folder/a.wav"
    assert row == {**dict.fromkeys(row), "track": "a.wav", "path": path, "location": path}


def test_the_same_rows_come_every_time(inputs: Path) -> None:
    paths = [str(inputs / name) for name in KINDS]
    once, again = (pa.Table.from_batches([part.batch for part in read_rows(paths)]) for _ in range(2))
    assert once.equals(again)


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        ([], "give --input PATH"),
        (["folder", "none"], "no such file or folder: .*none"),
        (["folder", "notes.md"], r"notes\.md cannot be an input, which is a manifest"),
        (["folder", "x.tar.gz"], r"x\.tar\.gz is compressed and cannot be read in parts"),
        (["tape://archive/x"], "no filesystem serves 'tape://'"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_is_read(inputs: Path, paths: list[str], says: str) -> None:
    for name in ("notes.md", "x.tar.gz"):
        (inputs / name).write_text("x")
    with pytest.raises(UsageError, match=says) as caught:
        read_rows([path if "://" in path else str(inputs / path) for path in paths])
    assert len(str(caught.value).splitlines()) == 1


def test_an_input_without_a_row_is_a_mistake_even_among_others(inputs: Path) -> None:
    (inputs / "empty").mkdir()
    assert refused(inputs / "m.csv", inputs / "empty").startswith(f"no recording in {inputs}/empty")
