"""Decoding and perturbing as Ray Data tasks: one store of recordings and takes, in the order of the rows."""

from pathlib import Path

import pytest

from synatt import manifest
from synatt.distributed.clips import store_clips
from synatt.takes import key, wanted_takes
from tests.conftest import CLASSES, make_tiny_recipe


@pytest.mark.usefixtures("ray_local")
def test_takes_lie_in_the_store_and_leave_the_recordings_digest_alone(
    tmp_path: Path,
    clip_tracks: tuple[str, ...],
    clip_paths: list[str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = zip(clip_tracks, clip_paths, strict=True)
    rows = manifest.build([{"track": t, "path": p, "label": 0, "split": "train"} for t, p in made], CLASSES)
    recipe = make_tiny_recipe(
        augment={"perturb_takes": 1, "perturb_levels": ["weak"], "perturb_kinds": ["noise"]},
        tune={"judge_levels": ["clean", "medium"]},
    )
    with caplog.at_level("INFO", "synatt"):
        clips = store_clips(rows, 60.0, str(tmp_path), wanted_takes(rows, recipe, judged=True))
    assert "falling back" not in capfd.readouterr().err, "what tasks say fits into Arrow"
    assert "each is decoded and perturbed once" in caplog.text
    store = clips.open()
    assert len(clips.shards) == 1 and len(clips.takes) == 2 and len(store) == 36 and not store.problems
    assert all(key(t, "weak", 0) in store and key(t, "medium") in store for t in clip_tracks)
    plain = store_clips(rows, 60.0, str(tmp_path))
    assert plain.takes == () and plain.shards == clips.shards and plain.digest() == clips.digest()
