"""The state of a training run as bytes that prove themselves whole; which of several to go on from.

A file is the SHA-256 of what follows, as 64 hex digits and a line feed, then `torch.save`'s bytes. They are read with
``weights_only``: tensors and plain values, nothing in them can run code.
"""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch

from synatt.errors import WorkError

log = logging.getLogger("synatt")

STATE_FILE = "state.pt"

State = dict[str, Any]


class TornCheckpoint(WorkError):
    """A checkpoint is not what was written: cut short, or changed."""


def encode(state: State) -> bytes:
    """`state`, tensors and plain values, as one self-proving file."""
    out = io.BytesIO()
    torch.save(state, out)
    body = out.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(data: bytes, device: torch.device | str = "cpu") -> State:
    """The state in `data`, its tensors on `device`.

    Raises:
        TornCheckpoint: the bytes do not have the digest that they begin with.
    """
    state: State = torch.load(io.BytesIO(_body(data)), map_location=device, weights_only=True)
    return state


def _body(data: bytes) -> bytes:
    head, _, body = data.partition(b"\n")
    if len(head) != 64 or hashlib.sha256(body).hexdigest().encode() != head:
        raise TornCheckpoint("the checkpoint is torn: its bytes do not have the digest that it begins with")
    return body


def newest_whole(names: Iterable[str], read: Callable[[str], bytes]) -> str | None:
    """The first of `names`, given from newest to oldest, whose checkpoint is whole; None when none is."""
    for name in names:
        try:
            _body(read(name))
        except TornCheckpoint:
            log.warning("checkpoint %s is torn: going on from the one before it", name)
            continue
        return name
    return None
