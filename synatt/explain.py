"""Where in a log-mel a network finds what speaks for a class: Grad-CAM (Selvaraju et al., ICCV 2017, equations 1, 2).

Own code of a few lines rather than a library: `grad-cam` would bring OpenCV along, and captum's `LayerGradCam` has to
be told the layer, which is called otherwise in every family of networks; timm itself says where each stage ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from synatt.backbones import Attributor

# A map of fewer cells points at nothing: a 64 x 192 log-mel leaves 2 x 6 of the last stage, and the stage before it has
# 4 x 12. The log-mels of the original recipes leave 4 x 12 and 8 x 16 of the last stage, the one that the paper takes.
MIN_CELLS = 32


def heat_map(network: Attributor, logmel_BMT: torch.Tensor, class_B: torch.Tensor) -> torch.Tensor:
    """How much each place of a log-mel raises the logit of a class, by Grad-CAM.

    Args:
        network: in evaluation mode; its parameters and their gradients stay as they are.
        logmel_BMT: float32 ``[B, M, T]`` in dB, on the network's device.
        class_B: int64 ``[B]``, the class that is asked for in each.

    Returns:
        float32 ``[B, M, T]`` in [0, 1], the largest value of each map 1; a map is 0 where nothing speaks for the class.
    """
    with torch.enable_grad(), _kept(network.backbone) as stages:
        # Without gradients of its own the input's path would not be kept when all parameters are frozen.
        logits_BC = network(logmel_BMT.detach().requires_grad_())
        features_BFHW = deepest_with_cells([maps[0] for maps in stages.values()])
        wanted = logits_BC.gather(1, class_B[:, None]).sum()
        (gradient_BFHW,) = torch.autograd.grad(wanted, features_BFHW)
    weight_BF11 = gradient_BFHW.mean(dim=(2, 3), keepdim=True)
    coarse_B1HW = torch.relu((weight_BF11 * features_BFHW.detach()).sum(dim=1, keepdim=True)).float()
    map_BMT = nn.functional.interpolate(coarse_B1HW, logmel_BMT.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    highest = map_BMT.amax(dim=(1, 2), keepdim=True)
    # A map of zeros stays one: dividing by its maximum would make it undefined.
    return torch.where(highest > 0, map_BMT / highest.clamp_min(torch.finfo(torch.float32).tiny), 0.0)


def deepest_with_cells(maps: list[torch.Tensor]) -> torch.Tensor:
    """Of feature maps ``[B, F, H, W]``, from the first stage to the last, the deepest one of `MIN_CELLS` or more.

    Where none has so many, the one that has most.
    """
    enough = [m for m in maps if m.shape[2] * m.shape[3] >= MIN_CELLS]
    return enough[-1] if enough else max(maps, key=lambda m: m.shape[2] * m.shape[3])


@contextmanager
def _kept(backbone: nn.Module) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Within it, what comes out of each stage of a timm backbone is kept: name of the module -> its output."""
    stages: dict[str, list[torch.Tensor]] = {name: [] for name in stage_names(backbone)}
    modules = dict(backbone.named_modules())

    def keeping(name: str):  # type: ignore[no-untyped-def]
        return lambda module, given, out: stages[name].append(out)

    hooks = [modules[name].register_forward_hook(keeping(name)) for name in stages]
    try:
        yield stages
    finally:
        for hook in hooks:
            hook.remove()


def stage_names(backbone: nn.Module) -> list[str]:
    """Names of the modules that end the stages of a timm backbone, the first one first."""
    info = backbone.feature_info
    return [stage["module"] for stage in getattr(info, "info", info)]  # type: ignore[union-attr]
