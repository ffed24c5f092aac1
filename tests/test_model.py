"""A model folder: comes back whole, or says what is wrong, and never runs code."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from synatt import model
from synatt.crossfit import TaughtTracks, track_keys
from synatt.errors import UsageError
from synatt.model import ModelFolderError, find_models, folder_digest, load_model, read_recipe, save_model
from synatt.neighbours import Neighbours
from synatt.weights import save_tensors
from tests.conftest import MakeModel, make_tiny_recipe


def refused(folder: str) -> str:
    with pytest.raises(ModelFolderError) as caught:
        load_model(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def rewrite(folder: str, **changes: object) -> None:
    path = Path(folder) / "recipe.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def test_a_model_folder_holds_what_rebuilds_and_judges_it_and_no_pickle(make_model: MakeModel) -> None:
    folder = Path(make_model())
    assert sorted(os.listdir(folder)) == ["curve.csv", "metrics.json", "model.safetensors", "recipe.yaml"]
    assert json.loads((folder / "metrics.json").read_text()) == {"macro_f1": 0.5}
    assert (folder / "curve.csv").read_text() == "epoch,loss\n1,1.5\n"
    assert read_recipe(str(folder)) == make_tiny_recipe()


def test_a_loaded_model_is_named_evaluates_and_answers_like_the_saved_one(make_model: MakeModel) -> None:
    recipe = make_tiny_recipe("test_efficientnet", "Net")
    loaded = load_model(make_model("Net", 3, recipe))
    again = load_model(loaded.folder)
    assert loaded.name == "Net"
    assert not loaded.net.training
    x = torch.randn(2, 32, 64)
    assert torch.equal(loaded.net(x), again.net(x))
    assert loaded.digest == again.digest == folder_digest(loaded.folder)


def test_the_digest_changes_with_weights_and_with_settings(make_model: MakeModel) -> None:
    one, same, other = (make_model(seed=seed, below=below) for seed, below in ((0, "a"), (0, "b"), (1, "c")))
    assert folder_digest(one) == folder_digest(same)
    assert folder_digest(one) != folder_digest(other)
    rewrite(same, seed=43)
    assert folder_digest(one) != folder_digest(same)


def test_the_tracks_it_was_taught_come_back_and_count_among_what_answers_come_from(make_model: MakeModel) -> None:
    folder = make_model()
    loaded = load_model(folder)
    assert loaded.taught is None
    save_model(folder, loaded.net, loaded.recipe, {}, [], taught=TaughtTracks.of(["a", "b"]))
    taught = load_model(folder)
    assert taught.taught is not None
    assert taught.taught.among(track_keys(["b", "c"])).tolist() == [True, False]
    assert taught.digest != loaded.digest
    save_model(folder, loaded.net, loaded.recipe, {}, [])
    assert load_model(folder).digest == loaded.digest


@pytest.mark.parametrize(
    ("tensors", "said"),
    [({"names": torch.zeros(3)}, "'tracks'"), ({"tracks": torch.zeros(3)}, "float32"), (None, "whole safetensors")],
)
def test_a_damaged_list_of_taught_tracks_is_named(
    make_model: MakeModel, tensors: dict[str, torch.Tensor] | None, said: str
) -> None:
    folder = make_model()
    path = os.path.join(folder, "taught.safetensors")
    if tensors is None:
        Path(path).write_bytes(b"x" * 40)
    else:
        save_tensors(tensors, path)
    assert said in refused(folder)


def test_metrics_are_written_last_so_that_a_folder_with_them_is_whole(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(make_model())

    def full_disk(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(model, "save_state", full_disk)
    recipe = make_tiny_recipe()
    with pytest.raises(OSError, match="no space left"):
        save_model(str(folder), torch.nn.Linear(1, 1), recipe, {"macro_f1": 0.9}, [])  # type: ignore[arg-type]
    assert not (folder / "metrics.json").exists()


def test_a_model_folder_holds_one_backbone(tmp_path: Path) -> None:
    values = make_tiny_recipe().model_dump(mode="json")
    two = [values["backbones"][0], {**values["backbones"][0], "name": "Other"}]
    recipe = make_tiny_recipe(backbones=two)
    with pytest.raises(ModelFolderError, match="one backbone"):
        save_model(str(tmp_path), torch.nn.Linear(1, 1), recipe, {}, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir ['{mark}']",
        "name: !!python/object/apply:os.mkdir ['{mark}']",
        "backbones: [!!python/object/new:os.mkdir ['{mark}']]",
        "seed: !!python/name:os.system",
    ],
)
def test_a_tag_that_would_run_code_is_refused_and_not_run(make_model: MakeModel, tmp_path: Path, text: str) -> None:
    folder, mark = make_model(), tmp_path / "was_run"
    (Path(folder) / "recipe.yaml").write_text(text.format(mark=mark))
    assert "not plain YAML" in refused(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a mapping"),
        (b"- 1", "not a mapping"),
        (b"{", "not plain YAML"),
        (b"\xff\xfe", "not plain YAML"),
        (b"seed: 2001-99-99", "not plain YAML"),
        (b"backbones: []", "backbones"),
        (b"sead: 1\nbackbones: [{name: a, timm: b, batch: [1, 1], epochs: [1, 1]}]", "'sead'"),
    ],
)
def test_a_damaged_recipe_is_one_line_naming_the_file(make_model: MakeModel, content: bytes, says: str) -> None:
    folder = make_model()
    (Path(folder) / "recipe.yaml").write_bytes(content)
    message = refused(folder)
    assert "recipe.yaml" in message
    assert says in message


def test_a_recipe_of_several_backbones_is_no_model(make_model: MakeModel) -> None:
    folder = make_model()
    one = yaml.safe_load((Path(folder) / "recipe.yaml").read_text())["backbones"][0]
    rewrite(folder, backbones=[one, {**one, "name": "Other"}])
    assert "names 2 backbones" in refused(folder)


def test_missing_weights_are_named(make_model: MakeModel) -> None:
    folder = make_model()
    (Path(folder) / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refused(folder)


def test_a_missing_recipe_is_named(make_model: MakeModel) -> None:
    folder = make_model()
    (Path(folder) / "recipe.yaml").unlink()
    with pytest.raises(UsageError, match=r"no such file: .*recipe\.yaml"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_damaged_weights_are_named(make_model: MakeModel, keep: int) -> None:
    folder = make_model()
    path = Path(folder) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a whole safetensors file" in refused(folder)


@pytest.mark.parametrize("change", [{"classes": ["x", "unknown"]}, {"head_units": 5}])
def test_weights_that_do_not_fit_the_recipe_are_refused(make_model: MakeModel, change: dict[str, object]) -> None:
    folder = make_model()
    rewrite(folder, **change)
    assert "weights do not fit the recipe" in refused(folder)


def test_weights_of_another_architecture_are_refused(make_model: MakeModel) -> None:
    folder = make_model()
    one = yaml.safe_load((Path(folder) / "recipe.yaml").read_text())["backbones"][0]
    rewrite(folder, backbones=[{**one, "timm": "test_resnet"}])
    assert "weights do not fit the recipe" in refused(folder)


def test_a_backbone_that_timm_does_not_know_is_named(make_model: MakeModel) -> None:
    folder = make_model()
    one = yaml.safe_load((Path(folder) / "recipe.yaml").read_text())["backbones"][0]
    rewrite(folder, backbones=[{**one, "timm": "no_such_net"}])
    assert "'no_such_net'" in refused(folder)


def test_loading_asks_for_no_pretrained_weights(make_model: MakeModel) -> None:
    folder = make_model()
    rewrite(folder, weights={"source": "folder", "folder": "/nowhere"})
    assert load_model(folder).name == "Tiny"


def test_models_are_found_in_themselves_in_a_folder_of_them_and_once(make_model: MakeModel, tmp_path: Path) -> None:
    a, b = make_model("A"), make_model("B")
    deep = make_model("C", below="models/stage2")
    (tmp_path / "models" / "notes.txt").write_text("not a model")
    assert find_models([b]) == [b]
    assert find_models([str(tmp_path / "models")]) == [a, b, deep]
    assert find_models([str(tmp_path / "models") + "/"]) == [a, b, deep]
    assert find_models([b, str(tmp_path / "models")]) == [b, a, deep]


def test_a_place_without_models_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, says in ((tmp_path, "holds none"), (tmp_path / "none", "no model folder at"), (tmp_path / "file", "at")):
        with pytest.raises(ModelFolderError, match=says):
            find_models([str(path)])


def test_neighbours_lie_beside_the_weights_and_belong_to_the_digest(make_model: MakeModel) -> None:
    folder, bare = make_model(), folder_digest(make_model(below="bare"))
    loaded = load_model(folder)
    assert loaded.neighbours is None
    known = Neighbours(np.random.default_rng(0).normal(size=(30, 64)).astype(np.float32))
    save_model(folder, loaded.net, loaded.recipe, {}, [], known)
    again = load_model(folder)
    assert again.neighbours is not None and np.array_equal(again.neighbours.vectors_TE, known.vectors_TE)
    assert again.digest != bare
    save_model(folder, loaded.net, loaded.recipe, {}, [])
    assert load_model(folder).neighbours is None and folder_digest(folder) == bare


def test_neighbours_that_are_missing_or_do_not_fit_are_one_line(make_model: MakeModel) -> None:
    decided = {"unknown_distance_slope": 1.0, "unknown_bias": 0.0, "neighbours": 30}
    folder = make_model(recipe=make_tiny_recipe(predict=decided))
    assert "neighbours.safetensors is missing" in refused(folder)
    file = Path(folder) / "neighbours.safetensors"
    file.write_bytes(b"torn")
    assert "neighbours.safetensors cannot be used" in refused(folder)
    for shape in ((30, 63), (20, 64), (30,)):
        save_tensors({"vectors": torch.ones(shape)}, str(file))
        assert "does not fit the recipe" in refused(folder)
    save_tensors({"other": torch.ones(30, 64)}, str(file))
    assert "cannot be used" in refused(folder)
