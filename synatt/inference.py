"""How a trained network is run: by torch, its batch norms folded into its convolutions, or by OpenVINO on a CPU.

Both give the same embeddings to about 1e-5; `tests.benchmarks.speed` compares their rates for every backbone.
"""

import copy
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synatt.backbones import Attributor
from synatt.errors import UsageError
from synatt.precision import choose_precision

log = logging.getLogger("synatt")

Engine = Literal["torch", "openvino"]
InferencePrecision = Literal["float32", "bfloat16", "float16"]

# Log-mels per forward pass on a CPU.
BATCH = 32

# Log-mels [B, M, T] on the device -> embeddings float32 [B, E] there.
Embed = Callable[[torch.Tensor], torch.Tensor]

# A picture on which a network shows which layer feeds which; any of more than a few pixels will do.
_PICTURE = (1, 64, 64)


@dataclass(frozen=True)
class Inference:
    """What runs the networks of an ensemble.

    Attributes:
        engine: 'torch', or 'openvino' (extra `openvino`), which compiles them for the CPU.
        precision: arithmetic of the forward pass.
    """

    engine: Engine = "torch"
    precision: InferencePrecision = "float32"

    def check_installed(self) -> None:
        """Raise a `UsageError` where the engine is not installed: to be asked before any work is begun."""
        if self.engine == "openvino" and find_spec("openvino") is None:
            raise UsageError("engine openvino needs OpenVINO: uv run --extra openvino, or pip install openvino")

    def check(self, device: torch.device) -> None:
        """Raise a `UsageError` where the engine is not for this device, or a CPU lacks the precision."""
        if self.engine == "openvino" and device.type != "cpu":
            raise UsageError("engine openvino is for CPUs; leave it out where there are GPUs")
        if device.type == "cpu" and self.precision == "float16":
            raise UsageError("precision float16 is for GPUs; on a CPU take float32 or bfloat16")
        if device.type == "cpu" and self.precision == "bfloat16" and not _has_bfloat16():
            raise UsageError("precision bfloat16: this CPU has no instructions for it (AMX or AVX512-BF16)")


PLAIN = Inference()


def _has_bfloat16() -> bool:
    flags = torch.backends.cpu.get_cpu_capability()
    return "AMX" in flags or bool(torch.cpu._is_avx512_bf16_supported())


def make_embed(net: Attributor, device: torch.device, how: Inference, key: str, shape: tuple[int, int]) -> Embed:
    """What turns log-mels (or clips) into `net`'s embeddings on `device`, where `net` is moved, pictures channels last.

    Args:
        key: stands for the network's weights; what OpenVINO made of them is kept on this machine under it.
        shape: of what it is shown, `Recipe.feature_shape`.

    Raises:
        UsageError: see `Inference.check`.
    """
    how.check(device)
    if how.engine == "openvino":
        return _by_openvino(net, how, f"{key}-{shape[0]}x{shape[1]}", shape)
    net.to(device)
    if not net.takes_waveform:
        net.to(memory_format=torch.channels_last)
    fast, precision = folded(net), choose_precision(how.precision, device)

    def embed(logmel_BMT: torch.Tensor) -> torch.Tensor:
        with precision.autocast():
            return fast.embedding(logmel_BMT).float()

    return as_memory_allows(embed)


def batch_size(clips: int, device: torch.device) -> int:
    """Log-mels per forward pass where nobody asked for a number: a GPU is given all `clips` of a block at once."""
    return clips if device.type == "cuda" else BATCH


def as_memory_allows(embed: Embed) -> Embed:
    """`embed`, in halves of halves from the first time on that the device has no memory for a whole."""
    most: list[int] = []

    def halving(logmel_BMT: torch.Tensor) -> torch.Tensor:
        while True:
            try:
                parts = logmel_BMT.split(most[0]) if most else (logmel_BMT,)
                return torch.cat([embed(part) for part in parts]) if len(parts) > 1 else embed(logmel_BMT)
            except torch.OutOfMemoryError:
                tried = min([len(logmel_BMT), *most])
                if tried <= 1:
                    raise
                most[:] = [tried // 2]
            # Only now, when the exception no longer holds what was made so far.
            torch.cuda.empty_cache()
            log.warning("out of memory with %d clips per forward pass; going on with %d", tried, most[0])

    return halving


@torch.inference_mode()
def folded(net: Attributor) -> Attributor:
    """`net`, in evaluation mode, with every batch norm that follows a convolution folded into it.

    Which one follows which is seen in a forward pass, so that it holds for any of timm's families. The head is shared
    with `net`; without such batch norms, and where the result would give something else, it is `net` itself.
    """
    assert not net.training, "batch norms of a network in training have no fixed statistics"
    if net.takes_waveform:
        # Torchaudio's encoders have none, and cannot be shown a picture.
        return net
    pairs = _norms_after_convolutions(net)
    if not pairs:
        return net
    made = copy.copy(net)
    # A copy of a module shares its table of parts with the original.
    made._modules = {**net._modules, "backbone": copy.deepcopy(net.backbone)}
    for conv_name, norm_name in pairs:
        _fold(made.backbone, conv_name, norm_name)
    like = torch.randn(_PICTURE, generator=torch.Generator().manual_seed(0)).to(net.classify.weight)
    wanted = net.embedding(like)
    away = float((made.embedding(like) - wanted).abs().max())
    if not away <= 1e-3 * float(wanted.abs().max().clamp_min(1.0)):
        log.info("batch norms are left as they are: folded, the network gives other embeddings (by %.1g)", away)
        return net
    return made


def _norms_after_convolutions(net: Attributor) -> list[tuple[str, str]]:
    """(convolution, batch norm) by name where the second's input is the very tensor that the first gave."""
    # Decoding, which knows of this module too, does without timm.
    from timm.layers import Conv2dSame

    made_by: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    calls: dict[str, int] = {}
    hooks = []

    def gave(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            # The tensor is held, so that no other gets its id.
            made_by[id(output)] = name, output

        return hook

    def took(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            calls[name] = calls.get(name, 0) + 1
            if id(inputs[0]) in made_by:
                pairs.append((made_by[id(inputs[0])][0], name))

        return hook

    for name, module in net.backbone.named_modules():
        # Their weights are used as they stand; weight-standardised convolutions make theirs anew in every pass.
        if type(module) in (nn.Conv2d, Conv2dSame):
            hooks.append(module.register_forward_hook(gave(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(took(name)))
    try:
        net.embedding(torch.zeros(_PICTURE).to(net.classify.weight))
    finally:
        for hook in hooks:
            hook.remove()
    # A layer that is used twice may be followed by two things.
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]


def _fold(backbone: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = backbone.get_submodule(conv_name), backbone.get_submodule(norm_name)
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    # timm's batch norms have an activation of their own.
    rest = [part for part in (getattr(norm, "drop", None), getattr(norm, "act", None)) if part is not None]
    backbone.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
    backbone.set_submodule(norm_name, nn.Sequential(*rest) if rest else nn.Identity())


class _Embedding(nn.Module):
    def __init__(self, net: Attributor) -> None:
        super().__init__()
        self.net = net

    def forward(self, logmel_BMT: torch.Tensor) -> torch.Tensor:
        return self.net.embedding(logmel_BMT)


def _by_openvino(net: Attributor, how: Inference, name: str, shape: tuple[int, int]) -> Embed:
    import openvino

    # Converting takes seconds to minutes: once for each machine and network; every worker compiles what was converted.
    # A version's name may have slashes in it, as of a branch.
    folder = os.path.join(tempfile.gettempdir(), "synatt-openvino", openvino.__version__.replace("/", "-"))
    kept = os.path.join(folder, name + ".xml")
    if not os.path.isfile(kept):
        os.makedirs(folder, exist_ok=True)
        example = torch.zeros(2, *shape)
        model = openvino.convert_model(_Embedding(net), example_input=example, input=[-1, *shape])
        mine = os.path.join(folder, f"{name}-{os.getpid()}")
        openvino.save_model(model, mine + ".xml", compress_to_fp16=False)
        # The weights first: whoever finds the description finds them too.
        os.replace(mine + ".bin", os.path.join(folder, name + ".bin"))
        os.replace(mine + ".xml", kept)
    hints = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if how.precision == "bfloat16" else "f32",
    }
    compiled = openvino.Core().compile_model(openvino.Core().read_model(kept), "CPU", hints)

    def embed(logmel_BMT: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(compiled(logmel_BMT.contiguous().numpy())[0].copy())

    return embed


def on_device(flat_NMT: torch.Tensor, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Log-mels ``[N, M, T]`` in parts of at most `size`, on `device`; a GPU works on one while the next is copied."""
    parts = flat_NMT.split(size)
    if device.type != "cuda":
        yield from parts
        return
    side = torch.cuda.Stream(device)

    def copied(part: torch.Tensor) -> torch.Tensor:
        pinned = part.pin_memory()
        with torch.cuda.stream(side):
            return pinned.to(device, non_blocking=True)

    ahead = copied(parts[0])
    for following in (*parts[1:], None):
        worker = torch.cuda.current_stream(device)
        worker.wait_stream(side)
        now = ahead
        now.record_stream(worker)
        if following is not None:
            ahead = copied(following)
        yield now
