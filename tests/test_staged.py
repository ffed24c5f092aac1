"""Staged files: their names say when a shard is whole; their rows become the published tables."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt import staged
from synatt.ensemble import EnsemblePlan, Scores
from synatt.predictions import Outcome, table_schemas
from synatt.staged import EMBEDDINGS, MEMBERS, UNITS, Name, finished, finished_in, over_windows, tables, without_windows
from synatt.staging import Units

CLASSES = ("a", "b", "unknown")
PLAN = EnsemblePlan(("m/A", "m/B"), ("A", "B"), (), ("", ""), CLASSES, 60.0, "id", 1, (4, 4))
SCHEMAS = table_schemas(CLASSES, 4)
ALL = (MEMBERS, EMBEDDINGS)
WINDOW_S = 1.0


@st.composite
def names(draw: st.DrawFn, shard: int = 3) -> list[Name]:
    """A shard's units, cut into blocks anywhere."""
    counts = draw(st.lists(st.integers(1, 64), min_size=1, max_size=20))
    firsts = [0, *itertools.accumulate(counts)]
    return [
        Name(shard, first, count, draw(st.integers(0, count)), i == len(counts) - 1)
        for i, (first, count) in enumerate(zip(firsts, counts, strict=False))
    ]


@given(names())
def test_a_name_says_what_it_holds_and_is_read_back(blocks: list[Name]) -> None:
    assert [Name.parse(str(name)) for name in blocks] == blocks
    # Sorted as text they are in order.
    assert sorted(map(str, blocks)) == list(map(str, blocks))


@pytest.mark.parametrize(
    "text",
    ["", "000003-00000000-00064-00064-end", "000003-00000000-00064-00064-end.parquet.tmp", "part-00000.parquet"],
)
def test_what_is_not_a_staged_file_has_no_name(text: str) -> None:
    assert Name.parse(text) is None
    assert finished([text]) == {}


@given(names(), st.randoms())
def test_a_shard_is_whole_when_its_blocks_cover_it(blocks: list[Name], random: Random) -> None:
    shuffled = list(map(str, blocks))
    random.shuffle(shuffled)
    assert finished(shuffled) == {3: blocks}


@given(names(), st.data())
def test_a_shard_that_misses_any_block_is_not_whole(blocks: list[Name], data: st.DataObject) -> None:
    missing = data.draw(st.sampled_from(blocks))
    assert finished(str(name) for name in blocks if name != missing) == {}


@given(names(), st.data())
def test_blocks_of_an_attempt_that_was_cut_elsewhere_do_no_harm(blocks: list[Name], data: st.DataObject) -> None:
    units = blocks[-1].first + blocks[-1].count
    places = st.integers(0, units - 1)
    spans = [(a, data.draw(st.integers(a + 1, units))) for a in data.draw(st.lists(places, max_size=10))]
    others = [Name(3, a, b - a, 0, b == units) for a, b in spans]
    found = finished(map(str, [*blocks, *others]))[3]
    assert found[0].first == 0
    assert found[-1].last
    assert [n.first + n.count for n in found[:-1]] == [n.first for n in found[1:]]


def test_attempts_complete_each_other() -> None:
    first, second = Name(0, 0, 64, 64, False), [Name(0, i, 1, 1, i == 99) for i in range(100)]
    assert finished(map(str, [first, *second[1:]])) == {0: [first, *second[64:]]}
    # A longer block that leads nowhere gives way.
    assert finished(map(str, [Name(0, 0, 128, 128, False), *second])) == {0: second}


def test_shards_are_told_apart() -> None:
    one, two, half = Name(0, 0, 5, 5, True), Name(17, 0, 9, 9, True), Name(4, 0, 9, 9, False)
    assert finished(map(str, [two, half, one])) == {0: [one], 17: [two]}


def test_where_nothing_is_staged_no_shard_is_whole(tmp_path: Path) -> None:
    assert finished_in(str(tmp_path)) == {}
    (tmp_path / UNITS).mkdir()
    assert finished_in(str(tmp_path)) == {}
    (tmp_path / UNITS / str(Name(4, 0, 9, 9, True))).touch()
    assert finished_in(str(tmp_path)) == {4: [Name(4, 0, 9, 9, True)]}


def block(
    rows: Sequence[tuple[int, int, "str | None"]], first: int = 0, last: bool = True, duration_s: float = 9.5
) -> Units:
    """Units for (row, window, error)."""
    outcomes = [
        Outcome(f"t{row}", f"t{row}.wav", duration_s, 8_000, error)
        if error is None or window
        else Outcome(f"t{row}", f"t{row}.wav", error=error)
        for row, window, error in rows
    ]
    zeros = np.zeros(len(rows), np.float32)
    row, window = (np.array([r[i] for r in rows], np.int32) for i in range(2))
    start_s = np.where([r[2] is None for r in rows], window * WINDOW_S / 2, 0).astype(np.float32)
    return Units(first, last, row, window, start_s, outcomes, {}, zeros, zeros)


def scores(count: int, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), (2, count)).astype(np.float32)
    return Scores(
        probs, [rng.standard_normal((count, 4)).astype(np.float32) for _ in range(2)], np.ones((2, count), bool)
    )


OK_ROWS = [(0, 0, None), (1, 0, "missing: no such file"), (2, 0, None)]


def test_the_name_of_a_block_counts_units_and_the_recordings_that_start_in_it() -> None:
    units = block([(0, 3, None), (0, 4, None), (1, 0, None), (1, 1, None), (2, 0, "empty_file: 0 bytes")], 7, False)
    assert Name.of(12, units) == Name(12, 7, 5, 2, False)


def test_a_block_becomes_a_table_of_units_that_know_their_place() -> None:
    made = tables(block(OK_ROWS), scores(3), PLAN, "run-1", ())
    assert list(made) == [UNITS]
    assert made[UNITS].select(["row", "window", "start_s", "track", "status", "run"]).to_pylist() == [
        {"row": i, "window": 0, "start_s": 0.0, "track": f"t{i}", "status": status, "run": "run-1"}
        for i, status in enumerate(["ok", "error", "ok"])
    ]
    mean = scores(3).mean_BC
    found = [made[UNITS].column(f"p_{name}").to_pylist() for name in CLASSES]
    assert [column[1] for column in found] == [None] * 3
    np.testing.assert_array_equal(np.array(found, dtype=object)[:, [0, 2]].astype(np.float32).T, mean[[0, 2]])


def test_members_and_embeddings_have_the_answered_units_of_each_backbone_in_turn() -> None:
    given = scores(3)
    made = tables(block(OK_ROWS), given, PLAN, "r", ALL)
    for kind in ALL:
        places = made[kind].select(["row", "window", "track", "backbone"]).to_pylist()
        assert [tuple(p.values()) for p in places] == [
            (row, 0, f"t{row}", name) for name in ("A", "B") for row in (0, 2)
        ]
    p = np.stack([made[MEMBERS].column(f"p_{c}").to_numpy() for c in CLASSES], axis=1)
    np.testing.assert_array_equal(p, given.probs_NBC[:, [0, 2]].reshape(4, 3))
    vectors = np.array(made[EMBEDDINGS].column("embedding").to_pylist(), np.float32)
    np.testing.assert_array_equal(vectors, np.concatenate([e[[0, 2]] for e in given.embeddings]))


@pytest.mark.parametrize("rows", [OK_ROWS, OK_ROWS[1:2], []], ids=["mixed", "all failed", "empty"])
def test_without_windows_the_tables_have_the_documented_schema_and_no_other_column(
    rows: list[tuple[int, int, "str | None"]],
) -> None:
    published = without_windows(tables(block(rows), scores(len(rows)), PLAN, "r", ALL))
    assert list(published) == ["predictions", "members", "embeddings"]
    for kind, table in published.items():
        assert table.schema.equals(SCHEMAS[kind], check_metadata=True), kind
    assert published["predictions"].column("track").to_pylist() == [f"t{row}" for row, _, _ in rows]


# Two windows of recording 0 in a block, the third in the next, where recording 2 fails half way and 3 at once.
FIRST = [(0, 0, None), (0, 1, None)]
SECOND = [(0, 2, None), (1, 0, None), (2, 0, None), (2, 1, None), (2, 2, "corrupt: at 1.5 s"), (3, 0, "missing: gone")]


@pytest.fixture
def windowed() -> dict[str, pa.Table]:
    made = [
        tables(block(FIRST, 0, False), scores(2, 1), PLAN, "r", ALL),
        tables(block(SECOND, 2, True), scores(6, 2), PLAN, "r", ALL),
    ]
    return {kind: pa.concat_tables([part[kind] for part in made]) for kind in made[0]}


def probs_of(table: pa.Table) -> np.ndarray:
    return np.stack([table.column(f"p_{c}").to_numpy(zero_copy_only=False) for c in CLASSES], axis=1)


def test_a_recordings_answer_is_the_mean_over_its_windows(windowed: dict[str, pa.Table]) -> None:
    found = over_windows(windowed, CLASSES, WINDOW_S, False)["predictions"]
    assert found.schema.equals(SCHEMAS["predictions"], check_metadata=True)
    assert found.column("track").to_pylist() == ["t0", "t1", "t2", "t3"]
    one, two = scores(2, 1).mean_BC, scores(6, 2).mean_BC
    wanted = np.stack([(one[0] + one[1] + two[0]) / 3, two[1]])
    np.testing.assert_allclose(probs_of(found)[:2], wanted, atol=1e-6)
    assert found.column("algorithm").to_pylist() == [*wanted.argmax(axis=1).tolist(), None, None]
    np.testing.assert_allclose(found.column("confidence").to_numpy()[:2], wanted.max(axis=1), atol=1e-6)


def test_a_recording_that_fails_half_way_has_its_error_and_its_facts_but_no_answer(
    windowed: dict[str, pa.Table],
) -> None:
    made = over_windows(windowed, CLASSES, WINDOW_S, True)
    rows = made["predictions"].to_pylist()
    assert [row["error"] for row in rows] == [None, None, "corrupt: at 1.5 s", "missing: gone"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "error"]
    assert [row["duration_s"] for row in rows] == [9.5, 9.5, 9.5, None]
    assert [row["p_a"] is None for row in rows] == [False, False, True, True]
    for kind in ALL:
        assert set(made[kind].column("track").to_pylist()) == {"t0", "t1"}
    assert made["windows"].column("track").to_pylist() == ["t0"] * 3 + ["t1"] + ["t2"] * 2


def test_windows_are_kept_on_request_only(windowed: dict[str, pa.Table]) -> None:
    assert list(over_windows(windowed, CLASSES, WINDOW_S, False)) == ["predictions", "members", "embeddings"]
    found = over_windows({UNITS: windowed[UNITS]}, CLASSES, WINDOW_S, True)
    assert list(found) == ["predictions", "windows"]
    windows = found["windows"]
    assert windows.schema.equals(SCHEMAS["windows"], check_metadata=True)
    assert windows.column("window").to_pylist() == [0, 1, 2, 0, 0, 1]
    assert windows.column("start_s").to_pylist() == [0, 0.5, 1, 0, 0, 0.5]
    assert windows.column("end_s").to_pylist() == [1, 1.5, 2, 1, 1, 1.5]
    np.testing.assert_array_equal(probs_of(windows)[:2], scores(2, 1).mean_BC)


def test_members_and_embeddings_are_means_over_windows_too(windowed: dict[str, pa.Table]) -> None:
    made = over_windows(windowed, CLASSES, WINDOW_S, False)
    one, two = scores(2, 1), scores(6, 2)
    for kind in ALL:
        assert made[kind].schema.equals(SCHEMAS[kind], check_metadata=True), kind
        keys = made[kind].select(["track", "backbone"]).to_pylist()
        assert [tuple(key.values()) for key in keys] == [("t0", "A"), ("t0", "B"), ("t1", "A"), ("t1", "B")]
    probs = [(one.probs_NBC[n, 0] + one.probs_NBC[n, 1] + two.probs_NBC[n, 0]) / 3 for n in range(2)]
    np.testing.assert_allclose(probs_of(made["members"]), [*probs, *two.probs_NBC[:, 1]], atol=1e-6)
    vectors = [(one.embeddings[n][0] + one.embeddings[n][1] + two.embeddings[n][0]) / 3 for n in range(2)]
    found = np.array(made["embeddings"].column("embedding").to_pylist(), np.float32)
    np.testing.assert_allclose(found, [*vectors, *(e[1] for e in two.embeddings)], atol=1e-6)


@pytest.mark.parametrize("rows", [[], [(0, 0, "missing: gone")]], ids=["empty", "all failed"])
def test_windows_of_nothing_that_was_answered_are_tables_with_all_columns(
    rows: list[tuple[int, int, "str | None"]],
) -> None:
    made = over_windows(tables(block(rows), scores(len(rows)), PLAN, "r", ALL), CLASSES, WINDOW_S, True)
    assert {kind: len(table) for kind, table in made.items()} == {
        "predictions": len(rows),
        "windows": 0,
        "members": 0,
        "embeddings": 0,
    }
    assert all(table.schema.equals(SCHEMAS[kind], check_metadata=True) for kind, table in made.items())


def test_recordings_of_one_window_each_are_as_without_windows() -> None:
    made = tables(block(OK_ROWS), scores(3), PLAN, "r", ALL)
    found, wanted = over_windows(made, CLASSES, WINDOW_S, False), without_windows(made)
    by = [("track", "ascending"), ("backbone", "ascending")]
    assert found["predictions"].equals(wanted["predictions"])
    for kind in ALL:
        assert found[kind].sort_by(by).equals(wanted[kind].sort_by(by)), kind
    assert staged.UNITS not in found
