"""What is fixed by the method and never a setting."""

from collections.abc import Sequence

RATE_HZ = 16_000
UNKNOWN = "unknown"


def unknown_index(classes: Sequence[str]) -> int | None:
    """Index of the class of unknown algorithms; None when the classes have none."""
    return classes.index(UNKNOWN) if UNKNOWN in classes else None
