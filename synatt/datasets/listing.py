"""A folder or bucket prefix, listed once, and the way from a name in a table to the file it means."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import pyarrow.fs as pafs

from synatt import storage
from synatt.audio import AUDIO_SUFFIXES
from synatt.errors import UsageError

_SUFFIX = "(?i:" + "|".join(s.replace(".", r"\.") for s in AUDIO_SUFFIXES) + r")\Z"
_ABOVE_WAVS = r"(?s)^(?:.*/)?wavs/"


class LayoutError(UsageError):
    """A folder is missing, empty, or not laid out as was asked for."""


@dataclass(frozen=True)
class Folder:
    """A listed folder: `root` is an absolute local path or a URI, `files` are sorted names relative to it."""

    root: str
    files: tuple[str, ...]
    unnamable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the folder's path."""
        return self.root.partition("?")[0].rstrip("/").rpartition("/")[2]

    def path(self, relative: str) -> str:
        """The absolute path or URI of a file below the folder."""
        base, mark, query = self.root.partition("?") if storage.is_uri(self.root) else (self.root, "", "")
        return f"{base.rstrip('/')}/{relative}{mark}{query}" if relative else self.root

    def paths(self, relative: pd.Series) -> pd.Series:
        """Absolute paths of a column of relative names; null stays null."""
        before, _, after = self.path("\0").partition("\0")
        return before + relative + after

    def below(self, sub: str) -> "Folder":
        """The part of this listing below the folder `sub`; '' is the whole."""
        if not sub:
            return self
        start = bisect_left(self.files, sub + "/")
        end = bisect_left(self.files, sub + "0")  # '0' follows '/'
        return Folder(self.path(sub), tuple(f[len(sub) + 1 :] for f in self.files[start:end]))

    @cached_property
    def audio(self) -> tuple[str, ...]:
        """The audio files among `files`, known by their suffix."""
        return tuple(f for f in self.files if f.lower().endswith(AUDIO_SUFFIXES))

    def top(self) -> str:
        """The first few names directly in the folder, for messages."""
        names = list(dict.fromkeys(f.partition("/")[0] + ("/" if "/" in f else "") for f in self.files))
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        return ", ".join(names[:6]) + more if names else "nothing"


def open_folder(root: str) -> Folder:
    """List everything below `root` (local path or URI) in one go.

    Raises:
        LayoutError: nothing is at `root`, it is a file, or no file lies below it.
    """
    found = storage.info(root).type
    if found == pafs.FileType.NotFound:
        raise LayoutError(f"no such folder: {root}")
    if found == pafs.FileType.File:
        raise LayoutError(f"{root} is a file; --input of prepare is a folder or bucket prefix of audio")
    local = not storage.is_uri(root) or root.startswith("file://")
    unnamable: list[str] = []
    files = tuple(name for name, _ in storage.list_files(root, unnamable=unnamable))
    if not files:
        raise LayoutError(f"{root} is empty")
    return Folder(storage.filesystem(root)[1] if local else root.rstrip("/"), files, tuple(unnamable))


def without_suffix(names: pd.Series) -> pd.Series:
    """Names with a known audio suffix taken off; other dots stay."""
    return names.str.replace(_SUFFIX, "", regex=True)


def base_name(names: pd.Series) -> pd.Series:
    """What follows the last slash of each name."""
    return names.str.replace(r"(?s)^.*/", "", regex=True)


def below_wavs(names: pd.Series) -> pd.Series:
    """Names from below their last `wavs/` folder on, with forward slashes."""
    slashed = names.str.replace("\\", "/", regex=False).str.replace(r"^(?:\./)+", "", regex=True)
    return slashed.str.replace(_ABOVE_WAVS, "", regex=True)


@dataclass(frozen=True)
class Match:
    """Which file each name means: `file` (relative path or null) and `ambiguous` (bool) by name, same index.

    `contended` are the files that an ambiguous name might have meant; none of them is taken for it.
    """

    file: pd.Series
    ambiguous: pd.Series
    contended: frozenset[str]


def match(names: pd.Series, files: tuple[str, ...]) -> Match:
    """The file that each name means.

    Tried in this order, and the first that fits counts: the name is the relative path; the same without audio
    suffixes (`a` or `a.wav` for `a.flac`); the same below the last `wavs/` folder of either side; and, for a name
    without a folder, the base name wherever it lies. Unicode is compared in its composed form.

    Args:
        names: strings, as a table writes them.
        files: relative paths of the audio files.
    """
    shown = pd.Series(list(files), dtype="object")
    have, want = _composed(shown), _composed(names.astype("object"))
    steps = [
        (have, want),
        (without_suffix(have), without_suffix(want)),
        (without_suffix(below_wavs(have)), without_suffix(below_wavs(want))),
        (without_suffix(base_name(have)), without_suffix(want.where(~want.str.contains(r"[/\\]")))),
    ]
    file = pd.Series(None, index=names.index, dtype="object")
    ambiguous = pd.Series(False, index=names.index)
    contended: set[str] = set()
    for keys, wanted in steps if len(shown) and len(names) else ():
        pending = file.isna() & ~ambiguous
        if not pending.any():
            break
        twice = keys.duplicated(keep=False)
        once = pd.Series(shown[~twice].to_numpy(), index=keys[~twice])
        clash = pending & wanted.isin(set(keys[twice]))
        contended.update(shown[twice & keys.isin(set(wanted[clash]))])
        file[pending] = wanted[pending].map(once).astype("object")
        ambiguous |= clash
    return Match(file.where(file.notna(), None), ambiguous, frozenset(contended))


def _composed(names: pd.Series) -> pd.Series:
    return names.str.normalize("NFC") if len(names) else names.astype("object")
