"""Lists of paths: a row per line, whatever the names are made of."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synatt import storage
from synatt.sources import lists
from tests.inputrows import refused, rows_of, tracks_of


def test_a_line_is_a_row_and_its_track(tmp_path: Path) -> None:
    path = tmp_path / "all.lst"
    path.write_text(
        "\ufeffa.wav\r\n\n  # not this one\nsub/Zoë 語音.flac\n/elsewhere/b.wav\ns3://bucket/c.wav", "utf-8"
    )
    rows = rows_of(path)
    assert [(row["track"], row["location"]) for row in rows] == [
        ("a.wav", f"{tmp_path}/a.wav"),
        ("sub/Zoë 語音.flac", f"{tmp_path}/sub/Zoë 語音.flac"),
        ("/elsewhere/b.wav", "/elsewhere/b.wav"),
        ("s3://bucket/c.wav", "s3://bucket/c.wav"),
    ]
    assert all(row["path"] == row["location"] and row["held"] is None for row in rows)


def test_lines_are_relative_to_the_list_wherever_the_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "l.txt").write_text("../clips/a.wav\n")
    monkeypatch.chdir(tmp_path)
    assert rows_of("in/l.txt")[0]["location"] == f"{tmp_path}/in/../clips/a.wav"


def test_a_list_in_a_bucket_names_what_lies_beside_it() -> None:
    storage.write_text("memory://lists/day/l.txt", "a.wav\ns3://other/b.wav\n")
    assert [row["location"] for row in rows_of("memory://lists/day/l.txt")] == [
        "memory://lists/day/a.wav",
        "s3://other/b.wav",
    ]


def test_a_signed_uri_is_opened_but_its_signature_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("s3://bucket/a.wav?X-Amz-Signature=abc123\n")
    (row,) = rows_of(tmp_path / "l.txt")
    assert row["location"].endswith("abc123")
    assert "abc123" not in row["track"] + row["path"]


def is_line(name: str) -> bool:
    return bool(name.strip()) and not name.lstrip().startswith("#") and not name.endswith("\r")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=20)


@given(st.lists(NAMES.filter(is_line), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example(["a\u2028b", "a\x0bb", "a\rb", " a ", "\x00", "a#b", "\u0085"], "\n", True)
def test_any_names_come_back_from_a_list(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], end: str, ends: bool
) -> None:
    path = tmp_path_factory.mktemp("lists") / "l.txt"
    path.write_bytes((end.join(["/" + name for name in names]) + end * ends).encode())
    assert [row["location"] for row in rows_of(path)] == ["/" + name for name in names]
    assert tracks_of(path) == [storage.shown("/" + name) for name in names]


def test_a_long_list_comes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "BATCH_ROWS", 7)
    (tmp_path / "l.txt").write_text("".join(f"{i}.wav\n" for i in range(20)))
    assert [part.batch.num_rows for part in lists.read(str(tmp_path / "l.txt"))] == [7, 7, 6]
    assert tracks_of(tmp_path / "l.txt") == [f"{i}.wav" for i in range(20)]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a.wav\n\xff.wav\n", "l.txt is not UTF-8 text"), (b"", "no recording in"), (b"# none\n\n", "no recording in")],
)
def test_a_list_of_nothing_or_no_text_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    assert says in refused(tmp_path / "l.txt")
