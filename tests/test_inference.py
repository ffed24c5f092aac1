"""Ways to run a network: all give the same embeddings, or say in one line why they cannot be had."""

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from synatt import backbones, inference
from synatt.backbones import Attributor
from synatt.ensemble import Ensemble, plan
from synatt.errors import UsageError
from synatt.inference import Inference, as_memory_allows, batch_size, folded, make_embed, on_device
from synatt.recipefile import load_recipe
from synatt.staging import stage
from tests.conftest import MakeModel, make_tiny_recipe

CPU = torch.device("cpu")
ALL = sorted({b.timm for name in ("part1", "part2", "robust") for b in load_recipe(name).backbones})
# The others have no batch norm at all, as test_convnext.
NORMED = [timm for timm in ALL if not timm.startswith(("convnext", "eca_nfnet"))]


def with_statistics(timm: str) -> Attributor:
    """A network whose batch norms have statistics and weights of their own, as after training."""
    recipe = make_tiny_recipe(timm)
    torch.manual_seed(0)
    net = backbones.create(recipe.backbones[0], recipe)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.05)
            module.running_var.uniform_(0.8, 1.2)
            nn.init.uniform_(module.weight, 0.3, 0.6)
            nn.init.normal_(module.bias, 0, 0.05)
    return net.eval()


@pytest.mark.parametrize("timm", ["test_resnet", "test_efficientnet", "test_convnext", *NORMED])
@torch.inference_mode()
def test_folding_batch_norms_leaves_the_embedding_of_every_backbone_as_it_is(timm: str) -> None:
    # In double precision: random weights, a hundred layers deep, make much of the last digit.
    net = with_statistics(timm).double()
    x = torch.randn(2, 64, 96, dtype=torch.float64)
    wanted, state = net.embedding(x), {k: v.clone() for k, v in net.state_dict().items()}
    made = folded(net)
    torch.testing.assert_close(made.embedding(x), wanted, rtol=1e-7, atol=1e-7)
    before = sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    after = sum(isinstance(m, nn.BatchNorm2d) for m in made.modules())
    assert after < 0.2 * before if before else made is net
    assert made.classify is net.classify
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items()), "the network itself is left alone"


@torch.inference_mode()
def test_what_folds_to_something_else_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(backbone: nn.Module, conv_name: str, norm_name: str) -> None:
        backbone.get_submodule(conv_name).weight.data *= 3  # type: ignore[union-attr,operator]

    monkeypatch.setattr(inference, "_fold", wrong)
    net = with_statistics("test_resnet")
    with caplog.at_level("INFO", logger="synatt"):
        assert folded(net) is net
    assert "batch norms are left as they are" in caplog.text


class Twice(nn.Module):
    """One convolution, used twice, with a batch norm after its first use alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(self.conv(x))).mean(dim=(2, 3))


def test_a_convolution_that_is_used_twice_keeps_its_batch_norm() -> None:
    net = Attributor(Twice(), 3, 8, 2).eval()
    with torch.inference_mode():
        assert folded(net) is net


def test_parts_of_a_batch_are_all_of_it_in_order() -> None:
    x = torch.arange(10.0).reshape(10, 1, 1)
    parts = list(on_device(x, 4, CPU))
    assert [len(p) for p in parts] == [4, 4, 2] and torch.equal(torch.cat(parts), x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_parts_of_a_batch_on_a_gpu_are_all_of_it_in_order() -> None:
    x = torch.randn(1000, 64, 64)
    found = torch.cat([part.clone() for part in on_device(x, 96, torch.device("cuda"))])
    assert torch.equal(found.cpu(), x)


needs_openvino = pytest.mark.skipif(
    not importlib.util.find_spec("openvino"), reason="OpenVINO is not installed (extra openvino)"
)


@pytest.fixture(scope="module")
def apart() -> Iterator[Callable[..., None]]:
    """Calls in another process: one with OpenVINO in it dies of the signals that other tests send themselves."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda work, *given: pool.submit(work, *given).result()


def same_embeddings(timm: str, folder: str) -> None:
    tempfile.tempdir = folder
    net, x = with_statistics(timm), torch.randn(5, 32, 64)
    converted = []
    with torch.inference_mode():
        wanted = net.embedding(x)
        for _ in range(2):
            embed = make_embed(net, CPU, Inference("openvino"), "key", (32, 64))
            converted.append({path: path.stat().st_mtime_ns for path in Path(folder).rglob("*.*") if path.is_file()})
            for size in (5, 1, 3):
                torch.testing.assert_close(embed(x[:size]), wanted[:size], rtol=1e-3, atol=1e-4)
    assert converted[0] == converted[1], "a second worker converts nothing"


@needs_openvino
@pytest.mark.parametrize("timm", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_openvino_gives_the_same_embeddings_for_any_number_of_clips(
    timm: str, apart: Callable[..., None], tmp_path: Path
) -> None:
    apart(same_embeddings, timm, str(tmp_path))
    kept = sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file())
    assert kept == ["key-32x64.bin", "key-32x64.xml"], "nothing else is left"


def same_answers(folders: list[str], clip_paths: list[str], scratch: str) -> None:
    tempfile.tempdir = scratch
    plans = plan(folders), plan(folders, Inference("openvino"))
    assert plans[0].run == plans[1].run, "the same ensemble, whatever runs it"
    units = stage([str(i) for i in range(5)], clip_paths[:5], plans[0])
    one, other = (Ensemble(p, CPU).score(units.logmels, units.tracks) for p in plans)
    np.testing.assert_allclose(one.probs_NBC, other.probs_NBC, atol=1e-3)


@needs_openvino
def test_an_ensemble_answers_alike_by_either_engine(
    make_model: MakeModel, clip_paths: list[str], apart: Callable[..., None], tmp_path: Path
) -> None:
    apart(same_answers, [make_model("A"), make_model("B", 1)], clip_paths, str(tmp_path))


@pytest.mark.parametrize(
    ("how", "device", "said"),
    [
        (Inference("openvino"), "cuda", "engine openvino is for CPUs"),
        (Inference("torch", "float16"), "cpu", "precision float16 is for GPUs"),
    ],
)
def test_what_a_device_cannot_do_is_one_line(how: Inference, device: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        how.check(torch.device(device))


def test_bfloat16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "_has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="this CPU has no instructions for it"):
        Inference("torch", "bfloat16").check(CPU)
    monkeypatch.setattr(inference, "_has_bfloat16", lambda: True)
    Inference("torch", "bfloat16").check(CPU)


def test_without_openvino_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any model is looked for, and so before a job begins its work."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="uv run --extra openvino"):
        plan(["/no/such/models"], Inference("openvino"))


def test_bfloat16_embeddings_are_near_and_come_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    # Slow on a CPU without the instructions, but the same code.
    monkeypatch.setattr(inference, "_has_bfloat16", lambda: True)
    net, x = with_statistics("test_resnet"), torch.randn(3, 32, 64)
    with torch.inference_mode():
        found = make_embed(net, CPU, Inference("torch", "bfloat16"), "key", (32, 64))(x)
        wanted = net.embedding(x)
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1)


def test_a_batch_is_on_the_device_once_for_all_members(
    make_model: MakeModel, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real: Callable[..., object] = inference.on_device
    monkeypatch.setattr("synatt.ensemble.on_device", lambda x, *rest: (seen.append(len(x)), real(x, *rest))[1])
    loaded = Ensemble(plan([make_model("A"), make_model("B", 1), make_model("C", 2)]), CPU)
    loaded.score(stage(["x", "y"], clip_paths[:2], loaded.plan).logmels, ["x", "y"])
    assert seen == [2]


def test_members_that_share_a_view_take_batches_that_fit_the_most_careful_of_them(
    make_model: MakeModel, clip_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real: Callable[..., object] = inference.on_device
    monkeypatch.setattr(
        "synatt.ensemble.on_device", lambda x, size, *rest: (sizes.append(size), real(x, size, *rest))[1]
    )
    large = make_tiny_recipe(name="B", predict={"batch": 2})
    loaded = Ensemble(plan([make_model("A"), make_model("B", 1, large), make_model("C", 2)]), CPU)
    loaded.score(stage(["x", "y"], clip_paths[:2], loaded.plan).logmels, ["x", "y"])
    assert sizes == [2]


@pytest.mark.parametrize("room", [1, 3, 8])
def test_what_does_not_fit_into_memory_goes_in_halves_from_then_on(room: int, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def embed(x: torch.Tensor) -> torch.Tensor:
        tried.append(len(x))
        if len(x) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.sum(dim=(1, 2))[:, None]

    x, careful = torch.randn(8, 4, 6), as_memory_allows(embed)
    for _ in range(2):
        torch.testing.assert_close(careful(x), x.sum(dim=(1, 2))[:, None])
    failed = {1: [8, 4, 2], 3: [8, 4], 8: []}[room]
    assert [n for n in tried if n > room] == failed, "what failed is not tried again"
    said = [f"out of memory with {n} clips per forward pass; going on with {n // 2}" for n in failed]
    assert caplog.messages == said


def test_one_clip_that_does_not_fit_is_said() -> None:
    def embed(x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        as_memory_allows(embed)(torch.randn(4, 2, 2))


def test_a_gpu_is_given_whole_blocks() -> None:
    assert batch_size(64, torch.device("cuda")) == 64 and batch_size(64, CPU) == 32
