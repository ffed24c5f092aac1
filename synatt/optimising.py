"""How a network is trained: its memory layout, optimiser, frozen start, and the moving average of its weights."""

from typing import Any

import torch
from torch import nn

from synatt.backbones import Attributor
from synatt.errors import UsageError
from synatt.recipe import Train
from synatt.selfsupervised import SpeechEncoder


def arranged(net: Attributor, settings: Train, device: torch.device) -> Attributor:
    """`net` on its device, as the recipe's speed keys want it.

    Raises:
        UsageError: the backbone cannot do what a key asks for.
    """
    if settings.grad_checkpointing:
        try:
            net.backbone.set_grad_checkpointing(True)  # type: ignore[operator]
        except (AssertionError, AttributeError, NotImplementedError):
            name = type(net.backbone).__name__
            raise UsageError(f"train.grad_checkpointing: {name} cannot recompute its activations") from None
    # A speech encoder has no pictures, and a weight of WavLM's with four axes only looks like one.
    pictures = settings.channels_last and not net.takes_waveform
    layout = torch.channels_last if pictures else torch.contiguous_format
    net = net.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    if settings.compile:
        net.compile()
    return net


def make_optimizer(net: nn.Module, settings: Train) -> torch.optim.Adam:
    """Adam with its learning rate still to be set; fused, it updates all tensors in one pass."""
    return torch.optim.Adam(net.parameters(), lr=0.0, fused=True if settings.fused else None)


def freeze(net: Attributor, frozen: bool) -> None:
    """Keep the backbone's weights and batch statistics as they are, or let them learn again; the head always does.

    So does what a speech encoder takes of each of its layers: that is not among its pretrained weights.
    """
    net.frozen = frozen
    net.backbone.requires_grad_(not frozen)
    if isinstance(net.backbone, SpeechEncoder):
        net.backbone.layer_logit_L.requires_grad_(True)


class Average:
    """Exponential moving average of a network's weights (timm's `ModelEmaV3`), with its decay rising at the start."""

    def __init__(self, net: Attributor, decay: float) -> None:
        from timm.utils import ModelEmaV3

        self._ema: Any = ModelEmaV3(net, decay=decay, use_warmup=True)
        self._steps = 0

    @property
    def net(self) -> Attributor:
        net: Attributor = self._ema.module
        return net

    def update(self, net: Attributor) -> None:
        """Take in the weights after an optimiser step."""
        self._steps += 1
        self._ema.update(net, step=self._steps)

    def state(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self._steps = state["steps"]
