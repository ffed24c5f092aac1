"""Who validates on whom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synatt import folds, manifest

RNG = np.random.default_rng(0)


def keys(n: int) -> np.ndarray:
    return np.array([f"track{i:04d}" for i in range(n)])


def build(rows: list[dict], classes: tuple[str, ...] = ("a", "b", "unknown")) -> manifest.Manifest:
    full = [{"track": f"t{i:03d}", "path": f"/x/{i}.wav", "split": "train", **row} for i, row in enumerate(rows)]
    return manifest.build(full, classes)


def test_stratified_folds_have_the_same_mix() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 10])
    fold = folds.stratified(labels, keys(90))
    assert fold.dtype == np.int8
    for label, each in ((0, 10), (1, 6), (2, 2)):
        assert np.bincount(fold[labels == label], minlength=5).tolist() == [each] * 5


def test_a_rare_class_does_not_stop_the_others() -> None:
    labels = np.repeat([0, 1], [20, 2])
    fold = folds.stratified(labels, keys(22))
    assert np.bincount(fold[labels == 0], minlength=5).tolist() == [4] * 5
    assert len(set(fold[labels == 1])) == 2


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_fewer_rows_than_folds_are_dealt_out(n: int) -> None:
    fold = folds.stratified(np.zeros(n, dtype=int), keys(n))
    assert sorted(fold) == list(range(n))


def test_small_classes_are_spread_evenly_too() -> None:
    labels = np.repeat(np.arange(10), 3)
    fold = folds.stratified(labels, keys(30))
    assert np.bincount(fold, minlength=5).tolist() == [6] * 5
    assert all(len(set(fold[labels == c])) == 3 for c in range(10))


def test_grouped_folds_share_no_group_and_are_of_about_one_size() -> None:
    speakers = np.repeat([f"s{i}" for i in range(20)], 7)
    fold = folds.grouped(speakers, keys(140))
    assert all(len(set(fold[speakers == s])) == 1 for s in set(speakers))
    assert np.bincount(fold).tolist() == [28] * 5


def test_fewer_groups_than_folds_have_a_fold_each() -> None:
    speakers = np.repeat(["s0", "s1", "s2"], 4)
    for fold in (folds.grouped(speakers, keys(12)), folds.stratified_grouped(np.zeros(12), speakers, keys(12))):
        assert sorted({fold[speakers == s].min() for s in set(speakers)}) == [0, 1, 2]
        assert all(len(set(fold[speakers == s])) == 1 for s in set(speakers))


def test_stratified_grouped_folds_share_no_group_and_balance_the_strata() -> None:
    groups = np.repeat([f"exp{i}" for i in range(20)], 10)
    strata = np.where(np.arange(200) // 10 % 2, "x", "y")
    fold = folds.stratified_grouped(strata, groups, keys(200))
    assert all(len(set(fold[groups == g])) == 1 for g in set(groups))
    assert all(15 <= n <= 25 for s in "xy" for n in np.bincount(fold[strata == s], minlength=5))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 5), st.randoms(use_true_random=False))
def test_no_rule_looks_at_the_order_of_the_rows(n: int, n_groups: int, seed: int, random) -> None:
    names = keys(n)
    groups = np.array([f"g{random.randrange(n_groups)}" for _ in range(n)])
    labels = np.array([random.randrange(3) for _ in range(n)])
    order = np.array(random.sample(range(n), n))
    for rule in (
        lambda o: folds.stratified(labels[o], names[o], 5, seed),
        lambda o: folds.grouped(groups[o], names[o], 5, seed),
        lambda o: folds.stratified_grouped(labels[o], groups[o], names[o], 5, seed),
        lambda o: folds.by_speaker(labels[o], groups[o].astype(object), names[o], 5, seed),
    ):
        straight, turned = rule(np.arange(n)), rule(order)
        assert np.array_equal(straight[order], turned)
        assert straight.min() >= 0 and straight.max() < 5


def test_another_seed_draws_other_folds() -> None:
    labels, speakers = np.zeros(100, dtype=int), np.repeat([f"s{i:02d}" for i in range(50)], 2)
    assert not np.array_equal(folds.stratified(labels, keys(100), 5, 1), folds.stratified(labels, keys(100), 5, 2))
    assert not np.array_equal(folds.grouped(speakers, keys(100), 5, 1), folds.grouped(speakers, keys(100), 5, 2))


def test_known_speakers_are_kept_together_and_others_stratified() -> None:
    rows = [{"label": c, "speaker": f"{c}-{i % 10}"} for c in (0, 2) for i in range(50)] + [
        {"label": 1} for _ in range(50)
    ]
    m = build(rows)
    fold = folds.fold_of(m)
    speaker = np.array(m.column("speaker"), dtype=object)
    assert all(len(set(fold[speaker == s])) == 1 for s in set(speaker) - {None})
    assert np.bincount(fold[100:], minlength=5).tolist() == [10] * 5


def test_a_class_of_one_speaker_stays_on_the_training_side_of_every_fold() -> None:
    rows = [{"label": 0, "speaker": "only"}] * 20 + [{"label": 1, "speaker": f"s{i}"} for i in range(20)]
    m = folds.with_folds(build(rows))
    found = folds.check(m)
    assert found.untrained == {}
    assert found.speakers == {"only": [0, 1, 2, 3, 4]}


def test_a_class_of_two_speakers_is_taught_by_both_in_every_fold_unless_asked_otherwise() -> None:
    labels = np.repeat([0, 1], 40)
    speakers = np.array([f"two{i % 2}" for i in range(40)] + [f"four{i % 4}" for i in range(40)], dtype=object)
    fold = folds.by_speaker(labels, speakers, keys(80), 4)
    for voice in ("two0", "two1"):
        assert np.bincount(fold[speakers == voice], minlength=4).min() > 0
    for voice in ("four0", "four1", "four2", "four3"):
        assert len(set(fold[speakers == voice])) == 1
    apart = folds.by_speaker(labels, speakers, keys(80), 4, fewest=2)
    assert len(set(apart[speakers == "two0"])) == 1 and not set(apart[speakers == "two0"]) & set(
        apart[speakers == "two1"]
    )


def test_a_class_that_one_speaker_has_most_of_is_taught_by_all_in_every_fold() -> None:
    speakers = np.array(["most"] * 25 + ["a", "b", "c"] * 5 + [None] * 4, dtype=object)
    fold = folds.by_speaker(np.zeros(44, dtype=int), speakers, keys(44), 4)
    assert np.bincount(fold[speakers == "most"], minlength=4).min() > 0
    half = np.array(["most"] * 15 + ["a", "b", "c"] * 5, dtype=object)
    apart = folds.by_speaker(np.zeros(30, dtype=int), half, keys(30), 4)
    assert all(len(set(apart[half == who])) == 1 for who in ("most", "a", "b", "c"))


def test_only_labelled_training_rows_have_a_fold() -> None:
    rows = (
        [{"label": 0}] * 5 + [{"label": None}] * 2 + [{"label": 1, "split": "dev"}] + [{"label": 1, "split": None}] * 5
    )
    fold = folds.fold_of(build(rows))
    assert (fold >= 0).tolist() == [True] * 5 + [False] * 3 + [True] * 5


def test_folds_of_the_manifest_are_kept_and_missing_ones_drawn() -> None:
    rows = [{"label": i % 2, "fold": (i + 3) % 5 if i < 10 else None} for i in range(20)]
    kept = folds.with_folds(build(rows)).column("fold")
    assert kept[:10] == [(i + 3) % 5 for i in range(10)]
    assert all(f is not None for f in kept[10:])


def test_another_number_of_folds_is_drawn_anew() -> None:
    m = folds.with_folds(build([{"label": i % 2, "fold": i % 5} for i in range(30)]), folds=3)
    assert sorted(set(m.column("fold"))) == [0, 1, 2]
    assert m.classes == ("a", "b", "unknown")


def test_check_names_leaks_and_what_a_fold_lacks() -> None:
    m = build(
        [
            {"label": 0, "fold": 0, "speaker": "s", "generator": "a"},
            {"label": 0, "fold": 1, "speaker": "s", "generator": "a"},
            {"label": 1, "fold": 1, "speaker": "t", "generator": "b"},
            {"label": 2, "fold": 0, "generator": "world"},
            {"label": 2, "fold": 1, "generator": "world"},
            {"label": 2, "fold": 1, "generator": "straight"},
            {"label": 2, "fold": None, "split": "dev", "generator": "straight"},
        ]
    )
    assert folds.check(m) == folds.FoldCheck(
        speakers={"s": [0, 1]}, generators={"world": [0, 1]}, missing={0: ["b"]}, untrained={1: ["b"]}
    )


def test_check_has_nothing_to_say_without_folds() -> None:
    assert folds.check(build([{"label": 0}])) == folds.FoldCheck()


def unknown_rows() -> manifest.Manifest:
    """Two known classes, and unknown speech of three generators and of two sources whose generators nobody knows."""
    made = [("g1", "x"), ("g2", "x"), ("g3", "y"), (None, "natural"), (None, "other")]
    rows = [
        {"track": f"{g}-{s}-{i}", "path": "p", "label": 2, "generator": g, "source": s, "fold": i % 5}
        for g, s in made
        for i in range(20)
    ]
    rows += [{"track": f"k{i}", "path": "p", "label": i % 2, "source": "x", "fold": i % 5} for i in range(40)]
    return manifest.build(rows, ("a", "b", "unknown"))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_unknown_generators_are_judged_where_they_were_not_trained_on(count: int) -> None:
    m = unknown_rows()
    table = folds.with_folds(m, count, unseen_generators=True).table.to_pandas()
    unknown = table[table.label == 2]
    assert (unknown.groupby(unknown.generator.fillna(unknown.source)).fold.nunique() == 1).all()
    assert set(unknown.fold) == set(range(count))
    assert not folds.check(folds.with_folds(m, count, unseen_generators=True)).generators
    known = table[table.label < 2].set_index("track").fold
    without = folds.with_folds(m, count).table.to_pandas().set_index("track").fold
    if count == 5:
        assert (known == without[known.index]).all(), "known classes keep the folds they bring"
    assert known.groupby(known).size().min() >= 40 // count - 1
    assert without.loc[unknown.track].groupby(unknown.generator.fillna(unknown.source).to_numpy()).nunique().max() > 1
