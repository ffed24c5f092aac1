"""Files of weights that a test makes, and how they are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from synatt.weights import WeightsError


def put(path: Path, state: object) -> Path:
    """`path`, with `state` in the format that its suffix stands for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)  # type: ignore[arg-type]
    else:
        torch.save(state, path)
    return path


def refusal(load: Callable[[Path], object], folder: Path) -> str:
    """The one line with which `load` refuses `folder`."""
    with pytest.raises(WeightsError) as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)
