"""Takes: what a recipe wants is made once, of what the store holds, shared by stages, and fails alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from synatt import manifest, perturb, storage, takes
from synatt.audio import load_audio
from synatt.clipstore import ClipStore, Shard, plan_shards, store_shard, to_int16
from synatt.errors import UsageError
from synatt.manifest import Manifest
from synatt.perturb import LEVELS, Materials
from synatt.recipe import Recipe
from synatt.takes import FAILED, Take, judged_take, key, make_take, store_takes, training_key, wanted_takes
from tests.conftest import CLASSES, make_tiny_recipe

LIGHT = {"perturb_kinds": ["gain", "band", "loss"]}


def recipe_with(count: int, **augment: object) -> Recipe:
    return make_tiny_recipe(augment={**LIGHT, "perturb_p": 1.0, "perturb_takes": count, **augment})


@pytest.fixture
def rows(clip_paths: list[str], clip_tracks: tuple[str, ...]) -> Manifest:
    made = [
        {"track": track, "path": path, "label": i % 6, "split": "train"}
        for i, (track, path) in enumerate(zip(clip_tracks, clip_paths, strict=True))
    ]
    return manifest.build(made, CLASSES)


def stored(folder: Path, rows: Manifest, wanted: list[Take]) -> tuple[ClipStore, list[str]]:
    (shard,) = plan_shards(rows.column("track"), rows.column("path"))
    name = store_shard(str(folder), shard, 60.0)
    made = store_takes(str(folder), name, shard, wanted)
    return ClipStore(str(folder), [name, *made]), made


def with_split(rows: Manifest, split: str, name: str) -> Manifest:
    made = [{**row, "track": f"{name}{row['track']}", "split": split} for row in rows.table.to_pylist()]
    return manifest.build(made, CLASSES)


def test_a_key_is_no_tracks_name_and_no_other_takes() -> None:
    names = [key(t, level, k) for t in ("a", "a/1") for level in LEVELS[1:] for k in (None, 0, 1, 10)]
    assert len(set(names)) == len(names) and all("\x1f" in name for name in names)


def test_levels_take_turns_and_judged_ones_are_as_asked(rows: Manifest) -> None:
    recipe = recipe_with(5, perturb_levels=["weak", "strong"])
    found = wanted_takes(rows, recipe, judged=False)
    assert [(t.level, t.drawn.number) for t in found if t.drawn] == list(
        zip(["weak", "strong"] * 2 + ["weak"], range(5), strict=True)
    )
    assert all(t.tracks == frozenset(rows.column("track")) for t in found)
    assert training_key(recipe.augment, "x", 3) == key("x", "strong", 3)
    judged = make_tiny_recipe(tune={"judge_levels": ["clean", "medium", "strong"]})
    assert wanted_takes(rows, judged, judged=False) == []
    assert [(t.level, t.drawn) for t in wanted_takes(rows, judged, judged=True)] == [("medium", None), ("strong", None)]
    assert wanted_takes(rows, make_tiny_recipe(), judged=True) == []


def test_only_labelled_recordings_are_judged_and_babble(rows: Manifest) -> None:
    both = manifest.concat([rows, with_split(rows, "outlier", "lpc:"), with_split(rows, "eval", "soft ")])
    recipe = make_tiny_recipe(augment={"perturb_takes": 1}, tune={"judge_levels": ["weak"]})
    *trained, judged = wanted_takes(both, recipe, judged=True)
    assert judged.tracks == frozenset(rows.column("track"))
    assert frozenset().union(*(t.tracks for t in trained)) == frozenset(both.column("track"))
    for take in trained:
        assert take.drawn is not None and take.drawn.materials.speech == tuple(rows.column("path"))
    (quiet,) = wanted_takes(rows, make_tiny_recipe(augment={"perturb_takes": 1, "babble": False}), judged=False)
    assert quiet.drawn is not None and quiet.drawn.materials == Materials()


def test_every_take_lies_in_the_store_and_is_made_of_what_it_holds(tmp_path: Path, rows: Manifest) -> None:
    recipe = make_tiny_recipe(
        augment={**LIGHT, "perturb_takes": 3}, tune={"judge_levels": ["clean", "medium"]}, clip={"seconds": 0.2}
    )
    wanted = wanted_takes(rows, recipe, judged=True)
    store, made = stored(tmp_path, rows, wanted)
    assert len(made) == len(set(made)) == 4 and len(store) == 12 * 5 and store.problems == []
    for take in wanted:
        for track in rows.column("track"):
            name = key(track, take.level, take.drawn.number if take.drawn else None)
            plain, found = store.wave(track), store.wave(name)
            whole = make_take(take, track, plain)
            assert len(found) == (round(0.4 * 16_000) if take.drawn else len(plain))
            np.testing.assert_allclose(found / np.abs(found).max(), whole / np.abs(whole).max(), atol=2e-4)
            starts = np.flatnonzero(plain[: len(plain) - len(found) + 1] == found[0])
            assert not any(np.array_equal(found, plain[i : i + len(found)]) for i in starts)
    numbers = [store.wave(training_key(recipe.augment, "t00", k)) for k in range(3)]
    assert not any(np.array_equal(a, b) for a, b in zip(numbers, numbers[1:], strict=False))


def test_an_outliers_takes_are_of_what_the_vocoder_made(tmp_path: Path, clip_paths: list[str]) -> None:
    (shard,) = plan_shards(["x", "channel:x"], clip_paths[:1] * 2, copies=[None, "channel"])
    rows = manifest.build(
        [
            {"track": t, "path": clip_paths[0], "label": 0, "split": s}
            for t, s in (("x", "train"), ("channel:x", "outlier"))
        ],
        CLASSES,
    )
    recipe = recipe_with(1)
    name = store_shard(str(tmp_path), shard, 60.0)
    store = ClipStore(
        str(tmp_path), [name, *store_takes(str(tmp_path), name, shard, wanted_takes(rows, recipe, False))]
    )
    (take,) = [t for t in wanted_takes(rows, recipe, False) if "channel:x" in t.tracks]
    of_copy, of_plain = (to_int16(make_take(take, "channel:x", store.wave(t))) for t in ("channel:x", "x"))
    found = to_int16(store.wave(training_key(recipe.augment, "channel:x", 0)))
    assert np.array_equal(found, of_copy) and not np.array_equal(found, of_plain)


def test_seed_track_and_number_fix_a_take(rows: Manifest, speech_wave: np.ndarray) -> None:
    def made(track: str = "x", number: int = 0, seed: int = 1) -> bytes:
        recipe = recipe_with(2, perturb_levels=["medium"]).model_copy(update={"seed": seed})
        return make_take(wanted_takes(rows, recipe, False)[number], track, speech_wave).tobytes()

    assert made() == made()
    assert len({made(), made(track="y"), made(number=1), made(seed=2)}) == 4


def test_files_are_named_by_all_that_decides_their_takes(tmp_path: Path, rows: Manifest) -> None:
    (shard,) = plan_shards(rows.column("track"), rows.column("path"))
    name = store_shard(str(tmp_path), shard, 60.0)
    sf.write(tmp_path / "hum.wav", np.sin(np.arange(1600, dtype=np.float32)), 16_000)

    def named(name: str = name, of: Shard = shard, seed: int = 1, seconds: float = 1.0, **augment: object) -> list[str]:
        recipe = make_tiny_recipe(
            augment={"perturb_takes": 1, **LIGHT, **augment}, clip={"seconds": seconds}, seed=seed
        )
        return store_takes(str(tmp_path), name, of, wanted_takes(rows, recipe, False))

    noisy: dict[str, Any] = {"perturb_kinds": ["gain", "noise"]}
    one = named()
    assert one == named() and named(perturb_takes=3)[:1] == one
    files = [one, named(seed=2), named(seconds=0.5), named(perturb_levels=["strong"]), named(perturb_kinds=["gain"])]
    files += [named(**noisy), named(**noisy, babble=False), named(**noisy, noise_folder=str(tmp_path / "hum.wav"))]
    files += [named(of=Shard(shard.tracks[:5], shard.paths[:5])), named(perturb_takes=2)[1:]]
    files += [named(name=store_shard(str(tmp_path), shard, 0.5))]
    assert len({names[0] for names in files}) == len(files)


def test_a_take_is_made_once_and_a_later_stage_finds_it(
    tmp_path: Path, rows: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = takes.make_take

    def noted(take: Take, track: str, wave: np.ndarray) -> np.ndarray:
        made.append(track)
        return real(take, track, wave)

    monkeypatch.setattr(takes, "make_take", noted)
    soft = with_split(rows, "eval", "soft ")
    mixed = manifest.concat([rows, soft])
    (shard,) = plan_shards(mixed.column("track"), mixed.column("path"))
    name = store_shard(str(tmp_path), shard, 60.0)
    for trained, wanted in ((rows, rows.column("track")), (rows, []), (mixed, soft.column("track"))):
        made.clear()
        store_takes(str(tmp_path), name, shard, wanted_takes(trained, recipe_with(1), False))
        assert made == wanted


def test_a_take_that_fails_costs_itself_and_is_named(
    tmp_path: Path, rows: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = takes.make_take

    def broken(take: Take, track: str, wave: np.ndarray) -> np.ndarray:
        if track == "t03":
            raise ZeroDivisionError("no room")
        return np.full(9, np.nan, np.float32) if track == "t04" else real(take, track, wave)

    monkeypatch.setattr(takes, "make_take", broken)
    store, _ = stored(tmp_path, rows, wanted_takes(rows, recipe_with(1), False))
    assert [(p["track"], p["kind"]) for p in store.problems] == [("t03", FAILED), ("t04", FAILED)]
    assert "ZeroDivisionError: no room" in store.problems[0]["detail"]
    settings = recipe_with(1).augment
    for track in rows.column("track"):
        same = np.array_equal(store.wave(training_key(settings, track, 0)), store.wave(track))
        assert same == (track in ("t03", "t04"))


def test_a_recording_that_cannot_be_read_has_no_takes(tmp_path: Path, clip_paths: list[str]) -> None:
    made = [
        {"track": t, "path": p, "label": 0, "split": "train"} for t, p in (("a", clip_paths[0]), ("b", "/none.wav"))
    ]
    store, _ = stored(
        tmp_path, manifest.build(made, CLASSES), wanted_takes(manifest.build(made, CLASSES), recipe_with(1), False)
    )
    assert len(store) == 2 and [p["track"] for p in store.problems] == ["b"]


def test_a_buckets_takes_are_made_from_a_copy_of_its_shard(tmp_path: Path, rows: Manifest) -> None:
    bucket, cache = f"file://{tmp_path}/bucket", str(tmp_path / "cache")
    (shard,) = plan_shards(rows.column("track"), rows.column("path"))
    name = store_shard(bucket, shard, 60.0)
    made = store_takes(bucket, name, shard, wanted_takes(rows, recipe_with(1), False), cache)
    assert all(storage.is_file(storage.join(bucket, file)) for file in made)
    assert len(ClipStore(bucket, [name, *made], cache)) == 24


def test_a_folder_without_audio_is_said_before_anything_is_made(tmp_path: Path, rows: Manifest) -> None:
    with pytest.raises(UsageError, match="no audio file"):
        wanted_takes(rows, recipe_with(1, perturb_kinds=["noise"], noise_folder=str(tmp_path)), False)


def test_judged_takes_need_nobodys_recordings(clip_paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def noted(*given: Any) -> tuple[np.ndarray, str, dict[str, Any]]:
        seen.append(given[3:])
        return perturb.perturb(*given)

    monkeypatch.setattr(takes, "perturb", noted)
    wave = load_audio(clip_paths[0]).wave
    assert judged_take(wave, "x", "weak").shape == wave.shape and seen == [()]
