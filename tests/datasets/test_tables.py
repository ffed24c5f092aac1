"""Label tables come back as they were written, however they were saved."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.datasets.tables import TableError, header, lines, parse_csv, read_csv

cell = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"))
name = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1)


def save(rows: list[tuple[str, ...]], end: str, quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


@given(st.lists(st.tuples(name, cell), max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_quoted_cells_of_any_text_survive(rows: list[tuple[str, str]], end: str) -> None:
    table = parse_csv(save([("track", "algorithm"), *rows], end, csv.QUOTE_ALL), "t.csv")
    assert list(table[["track", "algorithm"]].itertuples(index=False, name=None)) == rows


# What spreadsheets write: quotes only where they must be.
plain = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1)


@given(st.lists(st.tuples(plain, plain), max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_cells_with_commas_and_quotes_survive(rows: list[tuple[str, str]], end: str) -> None:
    table = parse_csv(save([("track", "algorithm"), *rows], end), "t.csv")
    assert list(table[["track", "algorithm"]].itertuples(index=False, name=None)) == rows


@given(st.lists(plain, min_size=1, max_size=20), st.booleans())
def test_an_index_column_in_front_is_not_data(tracks: list[str], named: bool) -> None:
    # As pandas saves it, the index has an empty name; as R does, it has none at all.
    head = ("", "track") if named else ("track",)
    table = parse_csv(save([head, *((str(i), t) for i, t in enumerate(tracks))], "\n"), "t.csv")
    assert table["track"].tolist() == tracks


def test_words_that_look_like_nothing_or_numbers_stay_text() -> None:
    table = parse_csv("track,algorithm\nNA,1\nnan,02\n0001,\n", "t.csv")
    assert table["track"].tolist() == ["NA", "nan", "0001"]
    assert table["algorithm"].tolist() == ["1", "02", ""]


def test_a_byte_order_mark_and_blanks_around_names_are_not_part_of_them(tmp_path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("\ufefftrack , algorithm\r\na.wav,0\r\n".encode())
    assert read_csv(str(path), ["track", "algorithm"])["track"].tolist() == ["a.wav"]
    assert header(str(path)) == ["track", "algorithm"]


def test_an_extra_cell_that_is_no_index_is_refused() -> None:
    with pytest.raises(TableError, match="more cells than the header"):
        parse_csv("track,algorithm\na.wav,0,x\n", "t.csv")


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n")), max_size=10))
def test_lines_end_at_line_ends_only(texts: list[str]) -> None:
    assert lines("".join(t + "\n" for t in texts)) == texts
    assert lines("".join(t + "\r\n" for t in texts)) == texts
