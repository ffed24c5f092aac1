"""What `--input` may be."""

import shutil
from pathlib import Path

import pytest

from synatt import manifest
from synatt.errors import UsageError
from synatt.inputs import from_folder, read_inputs


@pytest.fixture
def folder(tmp_path: Path, clip_paths: list[str]) -> Path:
    """Two recordings, one of them in a folder below, and a file that is no audio."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(clip_paths[0], tmp_path / "in" / "b.wav")
    shutil.copy(clip_paths[1], tmp_path / "in" / "deep" / "a.WAV")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / ".hidden.wav").write_text("x")
    return tmp_path / "in"


def test_a_folder_gives_a_row_per_recording_named_by_its_place_below(folder: Path) -> None:
    found = read_inputs([str(folder)])
    assert found.column("track") == ["b.wav", "deep/a.WAV"]
    assert found.column("path") == [str(folder / "b.wav"), str(folder / "deep" / "a.WAV")]
    assert found.column("label") == [None, None]
    assert found.classes is None


def test_the_paths_of_a_relative_folder_are_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert from_folder("in").column("path") == from_folder(str(folder)).column("path")


def test_a_uri_stays_a_uri(folder: Path) -> None:
    assert from_folder(f"file://{folder}").column("path")[0] == f"file://{folder}/b.wav"


def test_a_single_recording_is_one_row(folder: Path) -> None:
    found = read_inputs([str(folder / "b.wav")])
    assert (found.column("track"), found.column("path")) == (["b.wav"], [str(folder / "b.wav")])


def test_a_folder_with_a_manifest_is_that_manifest(folder: Path) -> None:
    made = manifest.build([{"track": "x", "path": "y.wav", "label": 1}], ("a", "unknown"))
    manifest.write(str(folder / "manifest.parquet"), made)
    found = read_inputs([str(folder)])
    assert found.table.equals(made.table)
    assert found.classes == ("a", "unknown")


@pytest.mark.parametrize("name", ["m.csv", "M.CSV"])
def test_a_manifest_is_known_by_its_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("track,path,label\n0001,x.wav,1\n")
    found = read_inputs([str(tmp_path / name)], ("a", "unknown"))
    assert (found.column("track"), found.column("label")) == (["0001"], [1])


def test_several_inputs_are_one_manifest(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("track,path\nz,z.wav\n")
    assert read_inputs([str(folder), str(tmp_path / "m.csv")]).column("track") == ["b.wav", "deep/a.WAV", "z"]


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        ([], "give --input PATH"),
        (["{0}/none"], "no such file or folder: .*none"),
        (["{0}/notes.txt"], r"notes\.txt is neither a manifest"),
        (["{0}/empty"], "no audio below .*empty"),
        (["{0}", "{0}"], "'b.wav' stands more than once"),
    ],
)
def test_a_wrong_input_is_one_line(folder: Path, paths: list[str], says: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=says) as caught:
        read_inputs([path.format(folder) for path in paths])
    assert len(str(caught.value).splitlines()) == 1
