"""Synatt: which synthesis algorithm made this voice, or none that is known.

Importing it starts nothing and loads nothing heavy: the names below come in when they are first used.

Dimension letters, as suffixes of tensor names: B clips, S samples, M mel bins, T frames, C classes, E embedding,
K crops, N models.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synatt.api import load as load
    from synatt.logmel import log_mel as log_mel
    from synatt.recipefile import load_recipe as load_recipe

__version__ = "0.1.0"
__all__ = ["load", "load_recipe", "log_mel"]

_HOME = {"load": "synatt.api", "log_mel": "synatt.logmel", "load_recipe": "synatt.recipefile"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'synatt' has no attribute {name!r}")
