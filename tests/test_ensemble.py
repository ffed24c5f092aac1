"""The ensemble: one log-mel for equal views, means over crops, temperatures, members that belong together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synatt import ensemble as module
from synatt.audio import load_audio
from synatt.backbones import create
from synatt.clip import crops
from synatt.crossfit import TaughtTracks
from synatt.ensemble import Ensemble, View, logmel_crops, plan
from synatt.errors import UsageError
from synatt.logmel import logmel_batch
from synatt.model import save_model
from synatt.neighbours import Neighbours
from synatt.staging import stage
from tests.conftest import CLASSES, MakeModel, make_tiny_recipe

CPU = torch.device("cpu")


def softmax_of(net: torch.nn.Module, x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(net(torch.from_numpy(x)) / temperature, dim=1).numpy()


def test_a_plan_names_members_views_and_classes(make_model: MakeModel) -> None:
    one, two = make_model("A"), make_model("B", 1)
    found = plan([one, two])
    assert found.folders == (one, two)
    assert found.names == ("A", "B")
    assert found.classes == CLASSES
    assert len(found.views) == 1
    assert found.weight_bytes == sum((Path(f) / "model.safetensors").stat().st_size for f in (one, two))


def test_a_plan_means_the_same_in_another_folder(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(make_model("A"))
    monkeypatch.chdir(folder.parent)
    assert plan(["A"]).folders == (str(folder),)


def test_models_that_look_alike_share_one_log_mel(
    make_model: MakeModel, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = make_tiny_recipe(name="C", clip={"seconds": 0.5, "pad": "zeros"})
    found = plan([make_model("A"), make_model("B", 1), make_model("C", 2, wide)])
    assert len(found.views) == 2
    assert found.view_of[0] == found.view_of[1] != found.view_of[2]
    calls: list[object] = []
    real = module.logmel_batch
    monkeypatch.setattr(module, "logmel_batch", lambda *a: (calls.append(a), real(*a))[1])
    units = stage(["x", "y"], clip_paths[:2], found)
    assert len(calls) == 2 * 2
    assert set(units.logmels) == {view.key for view in found.views}


@pytest.mark.parametrize(
    "change",
    [
        {"clip": {"seconds": 0.9, "pad": "zeros"}},
        {"clip": {"seconds": 1.0, "pad": "random"}},
        {"logmel": {"mel_bins": 33, "frames": 64, "n_fft": 512}},
        {"predict": {"crops": 2}},
    ],
)
def test_anything_that_changes_the_picture_changes_the_view(change: dict[str, object]) -> None:
    assert View.of(make_tiny_recipe(**change)).key != View.of(make_tiny_recipe()).key
    assert View.of(make_tiny_recipe(seed=1, train={"workers": 2})).key == View.of(make_tiny_recipe()).key


def test_the_probabilities_are_each_models_softmax(make_model: MakeModel, clip_paths: list[str]) -> None:
    loaded = Ensemble(plan([make_model("A"), make_model("B", 1)]), CPU)
    units = stage(["x", "y", "z"], clip_paths[:3], loaded.plan)
    scores = loaded.score(units.logmels, units.tracks)
    found = scores.probs_NBC
    assert found.shape == (2, 3, 6)
    assert found.dtype == scores.mean_BC.dtype == np.float32
    np.testing.assert_allclose(scores.mean_BC, (found[0] + found[1]) / 2, atol=1e-6)
    assert [o.error for o in units.outcomes] == [None] * 3
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    for row, path in enumerate(clip_paths[:3]):
        recipe = loaded.models[0].recipe
        clip = crops(load_audio(path).wave, recipe.clip_samples, "zeros", 1)
        x = logmel_batch(torch.from_numpy(clip), recipe.logmel).numpy()
        for member in range(2):
            np.testing.assert_allclose(found[member, row], softmax_of(loaded.models[member].net, x)[0], atol=1e-5)


def test_every_loaded_model_predicts(make_model: MakeModel, clip_paths: list[str]) -> None:
    loaded = Ensemble(plan([make_model(name, seed) for seed, name in enumerate("ABC")]), CPU)
    found = loaded.score(stage(["x"], clip_paths[:1], loaded.plan).logmels, ["x"])
    assert len({row.tobytes() for row in found.probs_NBC[:, 0]}) == 3
    assert len({vectors.tobytes() for vectors in found.embeddings}) == 3


def test_models_that_were_taught_a_clips_soft_label_leave_it_to_others(tmp_path: Path, clip_paths: list[str]) -> None:
    recipe, folders = make_tiny_recipe(), []
    for seed, taught in ((0, ["x", "y"]), (1, ["y", "z"]), (2, None)):
        torch.manual_seed(seed)
        folders.append(str(tmp_path / f"m{seed}"))
        keys = None if taught is None else TaughtTracks.of(taught)
        save_model(folders[-1], create(recipe.backbones[0], recipe), recipe, {}, [], taught=keys)
    tracks = ["x", "y", "z", "w"]
    for count, who in ((3, ([1, 2], [2], [0, 2], [0, 1, 2])), (2, ([1], [0, 1], [0], [0, 1]))):
        loaded = Ensemble(plan(folders[:count]), CPU)
        scores = loaded.score(stage(tracks, clip_paths[:1] * 4, loaded.plan).logmels, tracks)
        # One recording under four names: only who answers differs.
        for row, answering in enumerate(who):
            np.testing.assert_allclose(scores.mean_BC[row], scores.probs_NBC[answering, row].mean(axis=0), atol=1e-6)
        assert len(scores.probs_NBC) == len(scores.embeddings) == count


def test_crops_are_averaged_after_the_calibrated_softmax(make_model: MakeModel, clip_paths: list[str]) -> None:
    recipe = make_tiny_recipe(clip={"seconds": 0.4, "pad": "zeros"}, predict={"crops": 3, "temperature": 2.5})
    loaded = Ensemble(plan([make_model(recipe=recipe)]), CPU)
    staged = stage(["x"], clip_paths[:1], loaded.plan).logmels
    (key,) = staged
    assert staged[key].shape == (1, 3, 32, 64)
    assert not np.array_equal(staged[key][0, 0], staged[key][0, 1])
    expected = softmax_of(loaded.models[0].net, staged[key][0], 2.5).mean(axis=0)
    np.testing.assert_allclose(loaded.score(staged, ["x"]).probs_NBC[0, 0], expected, atol=1e-6)


def test_an_embedding_is_what_the_last_layer_sees_and_is_averaged_over_crops(
    make_model: MakeModel, clip_paths: list[str]
) -> None:
    narrow = make_tiny_recipe(name="B", head_units=48, predict={"crops": 2}, clip={"seconds": 0.4, "pad": "zeros"})
    loaded = Ensemble(plan([make_model("A"), make_model("B", 1, narrow)]), CPU)
    assert loaded.plan.head_units == (64, 48)
    staged = stage(["x", "y"], clip_paths[:2], loaded.plan).logmels
    found = loaded.score(staged, ["x", "y"]).embeddings
    assert [e.shape for e in found] == [(2, 64), (2, 48)]
    assert {e.dtype for e in found} == {np.dtype(np.float32)}
    net = loaded.models[1].net
    with torch.inference_mode():
        vectors = net.embedding(torch.from_numpy(staged[loaded.plan.view_of[1]][1]))
        probs = torch.softmax(net.classify(vectors), dim=1).mean(dim=0)
    np.testing.assert_allclose(found[1][1], vectors.mean(dim=0), atol=1e-6)
    np.testing.assert_allclose(loaded.score(staged, ["x", "y"]).probs_NBC[1, 1], probs, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_the_size_of_a_forward_pass_does_not_change_the_numbers(
    make_model: MakeModel, clip_paths: list[str], batch: int
) -> None:
    loaded = Ensemble(plan([make_model(recipe=make_tiny_recipe("test_efficientnet"))]), CPU)
    units = stage([str(i) for i in range(5)], clip_paths[:5], loaded.plan)
    found, wanted = (loaded.score(units.logmels, units.tracks, size) for size in (batch, None))
    np.testing.assert_allclose(found.probs_NBC, wanted.probs_NBC, atol=1e-6)
    np.testing.assert_allclose(found.embeddings[0], wanted.embeddings[0], atol=1e-5)


def test_a_failed_recording_leaves_its_neighbours_as_they_are(make_model: MakeModel, clip_paths: list[str]) -> None:
    loaded = Ensemble(plan([make_model()]), CPU)
    alone = loaded.score(stage(["x"], clip_paths[:1], loaded.plan).logmels, ["x"]).mean_BC[0]
    units = stage(["gone", "x", "short"], ["/none.wav", clip_paths[0], np.ones(9)], loaded.plan)
    np.testing.assert_allclose(loaded.score(units.logmels, units.tracks).mean_BC[1], alone, atol=1e-6)


def test_read_only_arrays_are_scored_without_a_warning(
    make_model: MakeModel, clip_paths: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    loaded = Ensemble(plan([make_model()]), CPU)
    staged = stage(["x"], clip_paths[:1], loaded.plan).logmels
    for array in staged.values():
        array.setflags(write=False)
    loaded.score(staged, ["x"])
    assert [w for w in recwarn if "writable" in str(w.message)] == []


def test_the_log_mel_of_a_crop_is_that_of_the_recipe(make_model: MakeModel, clip_paths: list[str]) -> None:
    recipe = make_tiny_recipe(predict={"crops": 2}, clip={"seconds": 0.3, "pad": "zeros"})
    audio = load_audio(clip_paths[0])
    clips = torch.from_numpy(crops(audio.wave, 4_800, "zeros", 2))
    assert np.array_equal(logmel_crops(audio, View.of(recipe)), logmel_batch(clips, recipe.logmel).numpy())


def test_the_id_of_an_ensemble_is_that_of_its_members_in_any_order(make_model: MakeModel) -> None:
    a, b, c = make_model("A"), make_model("B", 1), make_model("C", 2)
    assert plan([a, b]).run == plan([b, a]).run
    assert len({plan([a, b]).run, plan([a, c]).run, plan([a]).run}) == 3


def test_members_that_share_a_name_are_told_apart_by_their_folders(make_model: MakeModel) -> None:
    found = plan([make_model("A", below="stage1"), make_model("A", 1, below="stage2")])
    assert found.names == ("stage1/A", "stage2/A")


def test_models_that_disagree_are_refused(make_model: MakeModel) -> None:
    one = make_model("A")
    other = make_model("B", recipe=make_tiny_recipe(name="B", classes=["x", "unknown"]))
    with pytest.raises(UsageError, match="disagree on the classes: .*x, unknown"):
        plan([one, other])
    longer = make_model("C", recipe=make_tiny_recipe(name="C", clip={"seconds": 1.0, "read_s": 30.0}))
    with pytest.raises(UsageError, match=r"clip\.read_s: \[30\.0, 60\.0\]"):
        plan([one, longer])


def test_a_clip_far_from_all_known_ones_is_unknown_however_sure_the_softmax_is(
    make_model: MakeModel, clip_paths: list[str]
) -> None:
    """Models whose neighbours are the first clips themselves, or something else altogether."""
    decided = {"unknown_distance_slope": 4.0, "unknown_bias": -6.0, "neighbours": 24, "crops": 2}
    recipe = make_tiny_recipe(predict=decided, clip={"seconds": 0.6, "pad": "zeros"})
    bare = make_tiny_recipe(predict={"crops": 2}, clip={"seconds": 0.6, "pad": "zeros"})
    near = Ensemble(plan([make_model(recipe=bare)]), CPU)
    units = stage([f"t{i}" for i in range(12)], clip_paths, near.plan)
    vectors = near.score(units.logmels, units.tracks).embeddings[0]
    around = np.concatenate([v + np.random.default_rng(0).normal(0, 0.02, (24, len(v))) for v in vectors])
    unknown = []
    for below, known in (("near", around), ("far", -around)):
        folder = str(Path(near.plan.folders[0]).parent.parent / below / "Tiny")
        save_model(folder, near.models[0].net, recipe, {}, [], Neighbours(known.astype(np.float32)))
        members = Ensemble(plan([folder]), CPU)
        scores = members.score(units.logmels, units.tracks)
        np.testing.assert_allclose(scores.mean_BC.sum(axis=1), 1, atol=1e-5)
        unknown.append(scores.mean_BC[:, members.plan.unknown])
        told = members.models[0].neighbours.unlikeness(scores.embeddings[0])  # type: ignore[union-attr]
        np.testing.assert_allclose(unknown[-1], 1 / (1 + np.exp(6 - 4 * told)), atol=1e-4)
    assert unknown[0].max() < 0.5 < 0.9 < unknown[1].min()
