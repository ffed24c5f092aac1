"""Outliers: as many as asked for, of every vocoder and class evenly, labelled unknown, and made as the name says."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from synatt import manifest, outliers, sections
from synatt.clipstore import ClipStore, plan_shards, shard_name, store_shard
from synatt.errors import UsageError
from synatt.manifest import Manifest
from synatt.outliers import COPY, ORIGINAL, VOCODERS, CopyError, make_copy, outlier_rows
from tests.conftest import make_tiny_recipe

CLASSES = ("a", "b", "unknown")
LIGHT = ["channel", "sine_wave", "sinusoidal", "mel_griffin_lim"]


@pytest.fixture
def rows() -> Manifest:
    made = [{"track": f"t{i}", "path": f"/p{i}.wav", "label": min(i // 10, 2), "split": "train"} for i in range(40)]
    return manifest.build(made, CLASSES)


def asked(share: float, kinds: list[str] = LIGHT, seed: int = 1, classes: tuple[str, ...] = CLASSES):
    return make_tiny_recipe(outliers={"share": share, "kinds": kinds}, seed=seed, classes=classes)


def test_vocoders_and_classes_get_as_many_as_each_other(rows: Manifest) -> None:
    table = outlier_rows(rows, asked(0.6)).table.to_pandas()
    assert len(table) == 24 and table[COPY].value_counts().to_dict() == dict.fromkeys(LIGHT, 6)
    assert (table.label == 2).all() and set(table.split) == {"outlier"}
    assert (table.generator == table[COPY] + "_copy").all() and table.track.is_unique
    assert (table.track == table[COPY] + ":" + table[ORIGINAL]).all()
    source = table[ORIGINAL].str[1:].astype(int)
    assert (table.path == "/p" + source.astype(str) + ".wav").all()
    classes = np.minimum(source // 10, 2)
    assert (classes.groupby(table[COPY]).value_counts() == 2).all()


def test_the_seed_decides_of_which_recordings(rows: Manifest) -> None:
    one, again, other = (outlier_rows(rows, asked(0.6, seed=seed)).column("track") for seed in (1, 1, 2))
    assert one == again != other


def test_there_are_no_more_of_a_kind_than_recordings(rows: Manifest) -> None:
    assert len(outlier_rows(rows, asked(20.0, ["channel"]))) == len(rows)
    assert len(outlier_rows(rows, asked(0.0))) == 0


def test_a_vocoder_that_is_a_known_class_makes_no_outliers(rows: Manifest) -> None:
    named = manifest.build(rows.table.replace_schema_metadata(None), ("channel_copy", "b", "unknown"))
    table = outlier_rows(named, asked(0.6, classes=("channel_copy", "b", "unknown"))).table.to_pandas()
    assert set(table[COPY]) == set(LIGHT) - {"channel"} and len(table) == 24


def test_what_cannot_be_is_one_line(rows: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no class 'unknown'"):
        outlier_rows(rows, asked(0.5, classes=("a", "b", "c")))
    monkeypatch.setattr(outliers, "NEEDS", {"channel": ("no_such_package",)})
    with pytest.raises(UsageError, match=r"no_such_package.*leave channel out of outliers\.kinds"):
        outlier_rows(rows, asked(0.5))


def test_the_recipe_allows_what_there_is() -> None:
    assert get_args(sections.Vocoder) == tuple(VOCODERS)


@pytest.mark.parametrize("kind", LIGHT)
def test_a_copy_keeps_the_level_and_is_fixed_by_the_name(kind: str, clip_paths: list[str], tmp_path: Path) -> None:
    shards = plan_shards(["x", f"{kind}:x", f"{kind}:y"], [clip_paths[0]] * 3, copies=[None, kind, kind])
    names = [store_shard(str(tmp_path), shard, 60.0) for shard in shards]
    store = ClipStore(str(tmp_path), names)
    plain, copied = store.wave("x"), store.wave(f"{kind}:x")
    assert copied.shape == plain.shape and not np.allclose(copied, plain, atol=0.01)
    assert np.abs(copied).max() == pytest.approx(np.abs(plain).max(), rel=0.01)
    np.testing.assert_allclose(make_copy(kind, plain, f"{kind}:x"), copied, atol=1e-4)


def test_a_shard_with_copies_has_another_name_and_one_without_its_old_one(clip_paths: list[str]) -> None:
    args = (["x"], [clip_paths[0]])
    plain, none, copied = (plan_shards(*args, copies=c)[0] for c in ((), [None], ["channel"]))
    assert shard_name(plain, 60.0) == shard_name(none, 60.0) != shard_name(copied, 60.0)


def test_a_vocoder_that_fails_costs_its_own_clip(
    clip_paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synatt.copies.channel.copy", lambda wave, rng: np.full(len(wave), np.nan, np.float32))
    with pytest.raises(CopyError, match="nothing is left"):
        make_copy("channel", np.ones(100, np.float32), "x")
    monkeypatch.setattr("synatt.copies.channel.copy", lambda wave, rng: 1 / 0)
    (shard,) = plan_shards(["good", "bad"], clip_paths[:2], copies=[None, "channel"])
    store = ClipStore(str(tmp_path), [store_shard(str(tmp_path), shard, 60.0)])
    assert "good" in store and "bad" not in store
    assert store.problems[0]["kind"] == "copy_failed" and "ZeroDivisionError" in store.problems[0]["detail"]
