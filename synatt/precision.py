"""The arithmetic of forward passes, in training and prediction."""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Precision:
    """Arithmetic of the forward pass: `dtype` None is plain float32; float16 needs loss scaling."""

    device: torch.device
    dtype: torch.dtype | None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """'auto' is float32 on a CPU and, on a GPU, bfloat16 where the hardware has it, else float16."""
    if wanted == "auto":
        if device.type != "cuda":
            return Precision(device, None)
        return Precision(device, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    return Precision(device, None if wanted == "float32" else getattr(torch, wanted))
