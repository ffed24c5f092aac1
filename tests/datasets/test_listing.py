"""From a name in a table to the file it means."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.datasets.listing import Folder, match, open_folder


def file_of(name: str, *files: str) -> str | None:
    return match(pd.Series([name], dtype="object"), tuple(sorted(files))).file[0]


@pytest.mark.parametrize(
    ("name", "files", "file"),
    [
        ("a.wav", ["a.wav"], "a.wav"),
        ("a", ["a.wav"], "a.wav"),
        ("a.wav", ["a.FLAC"], "a.FLAC"),
        ("a.wav", ["a.wav", "a.flac"], "a.wav"),
        ("a", ["a.wav", "a.flac"], None),
        ("LJ001.0001", ["wavs/LJ001.0001.wav"], "wavs/LJ001.0001.wav"),
        ("wavs/e1/a.wav", ["wavs/e1/a.wav", "wavs/e2/a.wav"], "wavs/e1/a.wav"),
        ("e2/a.wav", ["wavs/e1/a.wav", "wavs/e2/a.wav"], "wavs/e2/a.wav"),
        ("/kaggle/input/set/wavs/e2/a.wav", ["wavs/e1/a.wav", "wavs/e2/a.wav"], "wavs/e2/a.wav"),
        ("wavs\\e2\\a.wav", ["wavs/e2/a.wav"], "wavs/e2/a.wav"),
        ("./e2/a.wav", ["wavs/e2/a.wav"], "wavs/e2/a.wav"),
        ("p225_001", ["wavs/p225/p225_001.wav"], "wavs/p225/p225_001.wav"),
        ("a.wav", ["wavs/e1/a.wav", "wavs/e2/a.wav"], None),
        ("e3/a.wav", ["wavs/e1/a.wav"], None),
        ("cafe\u0301.wav", ["caf\u00e9.wav"], "caf\u00e9.wav"),
        ("a b, c.wav", ["a b, c.wav"], "a b, c.wav"),
        ("a.wav\n", ["a.wav"], None),
        ("", ["a.wav"], None),
    ],
)
def test_a_name_means_the_file_it_fits(name: str, files: list[str], file: str | None) -> None:
    assert file_of(name, *files) == file


def test_files_that_an_ambiguous_name_might_mean_are_told() -> None:
    fits = match(pd.Series(["a", "b"], dtype="object"), ("a.flac", "a.wav", "b.wav"))
    assert fits.ambiguous.tolist() == [True, False]
    assert fits.contended == {"a.flac", "a.wav"}


file_names = st.lists(
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1), unique=True
)


@given(file_names)
def test_every_file_is_found_by_its_own_name(stems: list[str]) -> None:
    files = tuple(sorted({f"{stem}.wav" for stem in stems}))
    fits = match(pd.Series(files, dtype="object"), files)
    assert all(f == g or amb for f, g, amb in zip(files, fits.file, fits.ambiguous, strict=True))


def test_folders_below_are_cut_out_of_the_listing() -> None:
    whole = Folder("/data", ("a-b/x.wav", "a/c/y.wav", "a/z.WAV", "a0/w.wav", "notes.txt"))
    assert whole.below("a").files == ("c/y.wav", "z.WAV")
    assert whole.below("a").path("z.WAV") == "/data/a/z.WAV"
    assert whole.below("a/c").audio == ("y.wav",)
    assert whole.audio == ("a-b/x.wav", "a/c/y.wav", "a/z.WAV", "a0/w.wav")


def test_the_query_of_a_bucket_stays_behind_the_key() -> None:
    bucket = Folder("s3://voices/set?endpoint_override=localhost:9000", ("a/x.wav",))
    assert bucket.below("a").path("x.wav") == "s3://voices/set/a/x.wav?endpoint_override=localhost:9000"
    assert bucket.name == "set"


def test_a_local_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put) -> None:
    put(tmp_path / "set", ["a.wav", ".hidden/b.wav"])
    monkeypatch.chdir(tmp_path)
    for spelled in ("set", "./set/", f"file://{tmp_path}/set"):
        here = open_folder(spelled)
        assert here.path("a.wav") == str(tmp_path / "set" / "a.wav")
        assert here.files == ("a.wav",)


def test_links_are_followed_but_not_in_circles(tmp_path: Path, put) -> None:
    put(tmp_path / "set" / "a", ["x.wav"])
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert open_folder(str(tmp_path / "set")).files == ("a/x.wav", "b/x.wav")
