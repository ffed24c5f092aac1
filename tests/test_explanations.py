"""Why this answer: the clip that was scored, the members' mean map, and a reason wherever nothing can be shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from synatt.crossfit import TaughtTracks
from synatt.ensemble import Ensemble, plan
from synatt.evaluation import evaluate
from synatt.examples import Example
from synatt.explain import heat_map
from synatt.explanations import explain_rows
from synatt.logmel import logmel_batch
from synatt.model import load_model, save_model
from synatt.scored import Rows
from synatt.staging import stage
from tests.conftest import CLASSES, MakeModel, make_tiny_recipe, make_tiny_waveform_recipe
from tests.explainrun import write_predictions


@pytest.fixture
def models(make_model: MakeModel) -> list[str]:
    return [make_model("A"), make_model("B", 1)]


@pytest.fixture
def rows(models: list[str], clip_paths: list[str], tmp_path: Path) -> Rows:
    out = write_predictions(tmp_path / "out", models, clip_paths)
    return evaluate([out], [f"{out}/labels.csv"], bootstrap=0).rows


def test_the_clip_is_the_one_that_was_scored(rows: Rows, models: list[str]) -> None:
    found = explain_rows(rows, CLASSES, plan(models), [Example(0, "right"), Example(3, "asked"), Example(0, "pair")])
    assert found.why_not is None
    assert [(c.row, c.kinds) for c in found.clips] == [(0, ("right", "pair")), (3, ("asked",))]
    assert (found.members, found.n_models) == (2, 2)
    settings = make_tiny_recipe().logmel
    for clip in found.clips:
        staged = stage(["x"], [rows.path[clip.row]], plan(models)).logmels[found.view.key][0, 0]
        assert np.array_equal(clip.logmel, staged)
        assert np.array_equal(logmel_batch(torch.from_numpy(clip.wave)[None], settings)[0].numpy(), clip.logmel)


def test_the_map_is_the_mean_of_the_members_maps_for_answer_and_truth(rows: Rows, models: list[str]) -> None:
    found = explain_rows(rows, CLASSES, plan(models), [Example(0, "mistake"), Example(1, "right")])
    wrong, right = found.clips
    assert list(wrong.heat) == [rows.answer[0], rows.truth[0]]
    assert list(right.heat) == [rows.answer[1]]
    nets = [m.net for m in Ensemble(plan(models), torch.device("cpu")).models]
    x = torch.from_numpy(wrong.logmel)[None]
    for index, heat in wrong.heat.items():
        maps = [heat_map(net, x, torch.tensor([index]))[0].numpy() for net in nets]
        np.testing.assert_allclose(heat, (maps[0] + maps[1]) / 2, atol=1e-4)
        assert 0 <= heat.min() <= heat.max() <= 1


def test_a_model_that_left_a_clip_to_others_has_no_part_in_its_map(
    models: list[str], clip_paths: list[str], tmp_path: Path
) -> None:
    alone = write_predictions(tmp_path / "alone", models[:1], clip_paths[:2])
    rows = evaluate([alone], bootstrap=0).rows
    (wanted,) = explain_rows(rows, CLASSES, plan(models[:1]), [Example(0, "asked")]).clips
    loaded = load_model(models[1])
    save_model(models[1], loaded.net, loaded.recipe, {}, [], taught=TaughtTracks.of(rows.track))
    both = write_predictions(tmp_path / "both", models, clip_paths[:2])
    rows = evaluate([both], bootstrap=0).rows
    (clip,) = explain_rows(rows, CLASSES, plan(models), [Example(0, "asked")]).clips
    assert list(clip.heat) == list(wanted.heat)
    for index, heat in clip.heat.items():
        np.testing.assert_allclose(heat, wanted.heat[index], atol=1e-5)


def test_of_models_that_look_at_other_clips_those_are_taken_that_most_share(
    make_model: MakeModel, models: list[str], clip_paths: list[str], tmp_path: Path
) -> None:
    short = make_tiny_recipe(name="C", clip={"seconds": 0.5, "pad": "zeros"})
    three = [make_model("C", 2, short), *models]
    out = write_predictions(tmp_path / "three", three, clip_paths[:2])
    found = explain_rows(evaluate([out], bootstrap=0).rows, CLASSES, plan(three), [Example(0, "asked")])
    assert (found.members, found.n_models) == (2, 3)
    assert found.clips[0].wave.shape == (16_000,)


@pytest.mark.usefixtures("tiny_encoders")
def test_models_that_take_the_waveform_have_no_map(
    make_model: MakeModel, models: list[str], clip_paths: list[str], tmp_path: Path
) -> None:
    waves = [make_model(f"W{i}", i, make_tiny_waveform_recipe(name=f"W{i}")) for i in range(3)]
    out = write_predictions(tmp_path / "waves", waves, clip_paths[:2])
    found = explain_rows(evaluate([out], bootstrap=0).rows, CLASSES, plan(waves), [Example(0, "asked")])
    assert (found.clips, found.view) == ((), None)
    assert "these models take the waveform itself" in str(found.why_not)
    # Beside others they have their part in the answer, and none in the map, though they are more.
    mixed = [*waves, *models]
    out = write_predictions(tmp_path / "mixed", mixed, clip_paths[:2])
    found = explain_rows(evaluate([out], bootstrap=0).rows, CLASSES, plan(mixed), [Example(0, "asked")])
    assert (found.members, found.n_models) == (2, 5)
    assert found.clips[0].logmel.shape == (32, 64)


def test_a_clip_that_cannot_be_shown_says_why(rows: Rows, models: list[str], clip_paths: list[str]) -> None:
    moved = replace(rows, path=rows.path.copy(), run=rows.run.copy())
    moved.path[0], moved.path[1], moved.path[2] = "/none/away.wav", clip_paths[5], None
    moved.run[3] = "other-run"
    examples = [Example(row, "asked") for row in (12, 0, 1, 2, 3, 4)]
    why = [c.why_not or "" for c in explain_rows(moved, CLASSES, plan(models), examples).clips]
    assert why[0] == "there is no answer to explain: missing: no such file"
    assert why[1] == "/none/away.wav cannot be read: missing: no such file"
    assert "the recording has changed, or was scored in windows" in why[2]
    assert "cannot be read" in why[3]
    assert why[4] == "other models answered it (run other-run)"
    assert why[5] == ""


def test_other_models_explain_nothing(rows: Rows, models: list[str], make_model: MakeModel) -> None:
    found = explain_rows(rows, CLASSES, plan(models[:1]), [Example(0, "asked")])
    assert not found.clips
    assert "did not make these predictions" in str(found.why_not)
    other = make_model("D", recipe=make_tiny_recipe(name="D", classes=["x", "unknown"]))
    assert str(explain_rows(rows, CLASSES, plan([other]), []).why_not).startswith("the models' classes are x, unknown")


def test_a_recording_that_changed_since_is_found_out(models: list[str], clip_paths: list[str], tmp_path: Path) -> None:
    own = tmp_path / "own.wav"
    own.write_bytes(Path(clip_paths[0]).read_bytes())
    out = write_predictions(tmp_path / "own", models, [str(own)])
    found = evaluate([out], bootstrap=0).rows
    assert explain_rows(found, CLASSES, plan(models), [Example(0, "asked")]).clips[0].why_not is None
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    sf.write(own, noise, 16_000, subtype="PCM_16")
    assert "scored again it gets" in str(explain_rows(found, CLASSES, plan(models), [Example(0, "a")]).clips[0].why_not)
