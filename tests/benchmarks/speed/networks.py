"""Log-mels in, embeddings out, for every backbone of the recipes: Synatt's engines against a plain eager loop."""

import gc
import hashlib
import importlib.util
import time
from collections.abc import Callable

import torch
from torch import nn

from synatt import backbones
from synatt.backbones import Attributor
from synatt.inference import BATCH, Inference, make_embed
from synatt.recipe import Backbone, Recipe, Weights
from synatt.recipefile import build_recipe, load_recipe
from tests.benchmarks.speed.results import Case

CPU = torch.device("cpu")
# Clips of a repeat: a few seconds of work for the largest.
CLIPS = {"part1": 16, "part2": 4, "robust": 64}


def recipes() -> dict[str, Recipe]:
    plain = {name: load_recipe(name).model_dump(mode="json") for name in CLIPS}
    return {name: build_recipe({**values, "classes": ["a", "b", "unknown"]}) for name, values in plain.items()}


def network(backbone: Backbone, recipe: Recipe) -> Attributor:
    torch.manual_seed(0)
    net = backbones.create(backbone, recipe, Weights(source="random")).eval()
    calm(net)
    return net


def calm(net: nn.Module) -> None:
    """Let what the residual blocks of an EfficientNet add be small.

    With random weights values grow from block to block, to 1e6 in the larger ones, and float32 is then as far from
    float64 as they are large: there would be no right answer to compare with.
    """
    for block in net.modules():
        if getattr(block, "has_skip", False):
            last = next(getattr(block, name) for name in ("bn3", "bn2", "bn1") if hasattr(block, name))
            last.weight.data.mul_(0.3)


def digest(net: Attributor) -> str:
    """Of the weights: an engine keeps what it compiled under it."""
    found = hashlib.sha256()
    for tensor in net.state_dict().values():
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def seconds_of(work: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, size: int) -> float:
    start = time.perf_counter()
    for part in x.split(size):
        work(part)
    return time.perf_counter() - start


@torch.inference_mode()
def cases(repeats: int) -> list[Case]:
    """One case for each backbone, on all cores; all ways are checked against the plain one before any is timed."""
    made, done = [], set()
    for name, recipe in recipes().items():
        for backbone in recipe.backbones:
            shape = recipe.logmel.mel_bins, recipe.logmel.frames
            if (backbone.timm, shape) in done:
                continue
            done.add((backbone.timm, shape))
            case = Case(f"network {backbone.timm} {shape[0]}x{shape[1]}", "clips/s")
            x = torch.randn(CLIPS[name], *shape)
            plain = network(backbone, recipe)
            ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"plain eager loop": plain.embedding}
            wanted = plain.embedding(x[:2])
            engines = ["torch", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
            for engine in engines:
                start, key = time.perf_counter(), digest(plain)
                embed = make_embed(network(backbone, recipe), CPU, Inference(engine), key, shape)  # type: ignore[arg-type]
                case.notes[f"{engine}: seconds to make ready"] = round(time.perf_counter() - start, 1)
                away = float((embed(x[:2]) - wanted).abs().max() / wanted.abs().max())
                assert away < 1e-3, f"{engine} is {away:.2g} of the largest value away"
                case.notes[f"{engine}: largest difference, share of the largest value"] = f"{away:.1e}"
                ways[engine] = embed
            for repeat in range(repeats):
                names = [*ways][repeat % len(ways) :] + [*ways][: repeat % len(ways)]
                for way in names:
                    case.add(way, len(x) / seconds_of(ways[way], x, recipe.predict.batch or BATCH))
            case.rates = {way: case.rates[way] for way in ("torch", "plain eager loop", *engines[1:])}
            print("\n".join(case.lines()), flush=True)
            made.append(case)
            del ways, plain, embed
            gc.collect()
    return made
