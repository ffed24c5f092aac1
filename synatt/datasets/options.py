"""What a caller may choose about `prepare`; light to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProtocolOptions:
    """How to read ASVspoof-style protocol files.

    Attributes:
        preset: name of a known data set's field order, or None.
        files: protocol files, each a path or URI, with ``train=``, ``dev=`` or ``eval=`` in front to name its split.
        columns: field names in order out of speaker, file, attack, key, split and `-` (ignored).
        separator: 'blank' (runs of spaces and tabs), 'comma', 'tab' or one character.
        header: the first line names the columns and is skipped.
        suffix: only audio files with this suffix are looked at; None: all.
    """

    preset: str | None = None
    files: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    separator: str = "blank"
    header: bool = False
    suffix: str | None = None


@dataclass(frozen=True)
class Options:
    """Choices for all layouts.

    Attributes:
        classes: class names, 'unknown' last; None: the layout's own.
        unknown: names of sub-folders (plain folders) that hold unknown algorithms, besides 'unknown'.
        unlabelled: sub-folders of a plain folder are not classes.
        shares: fraction in 0..1 of a set that is used, by source, instead of the method's.
        seed: of sampling and folds.
        folds: number of cross-validation folds.
        metadata: tables with a column `track` that say more of the tracks: speaker, generator, and what else there is.
    """

    classes: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()
    unlabelled: bool = False
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 42
    folds: int = 5
    metadata: tuple[str, ...] = ()
    protocol: ProtocolOptions = ProtocolOptions()
