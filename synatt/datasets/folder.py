"""Any folder of audio: the sub-folder's name is the class, or nothing is known about the tracks.

With sub-folders that hold audio, each is a class, sorted by name; folders called `unknown`, or named so by the
caller, are the class 'unknown', which is always there and last. Audio below a class folder belongs to it however
deep; audio beside the class folders has no label. Without sub-folders the tracks are unlabelled (split 'eval').
"""

import pandas as pd

from synatt.constants import UNKNOWN
from synatt.datasets.common import PROBLEM_COLUMNS, Found, join_frames, make_rows, problem
from synatt.datasets.listing import Folder, LayoutError
from synatt.datasets.options import Options


def read(folder: Folder, options: Options, source: str | None = None) -> Found:
    """The tracks of a plain folder, called ``<source>/<relative path>``.

    Args:
        source: name of the set; by default the folder's own.

    Raises:
        LayoutError: there is no audio in it.
    """
    if not folder.audio:
        raise LayoutError(f"{folder.root} holds no audio; it holds {folder.top()}")
    source = source or folder.name
    files = pd.Series(folder.audio, dtype="object")
    inside = files.str.contains("/", regex=False)
    if options.unlabelled or not inside.any():
        rows = make_rows(track=source + "/" + files, path=folder.paths(files), source=source, split="eval")
        return Found(rows, join_frames([], PROBLEM_COLUMNS), None, "speaker", (folder.root,))
    beside = files[~inside]
    loose = problem("file_without_label", beside, folder.paths(beside), "lies beside the class folders, not in one")
    files = files[inside]
    named = files.str.split("/", n=1).str[0]
    algorithm = named.where(~named.isin([*options.unknown, UNKNOWN]), UNKNOWN)
    classes = options.classes or (*sorted(set(algorithm) - {UNKNOWN}), UNKNOWN)
    wrong = ~algorithm.isin(classes)
    detail = "folder '" + named[wrong] + f"' is none of the classes {', '.join(classes)}"
    tracks = source + "/" + files
    strange = problem("unknown_label", tracks[wrong], folder.paths(files[wrong]), detail)
    kept = ~wrong
    rows = make_rows(
        track=tracks[kept],
        path=folder.paths(files[kept]),
        algorithm=algorithm[kept],
        source=source,
        generator=named[kept].where(named[kept] != UNKNOWN, None),
        split="train",
    )
    return Found(rows, join_frames([loose, strange], PROBLEM_COLUMNS), classes, "speaker", (folder.root,))


def class_folders(folder: Folder) -> set[str]:
    """Names of the sub-folders that hold audio."""
    return {f.partition("/")[0] for f in folder.audio if "/" in f}


def source_names(roots: list[str]) -> list[str]:
    """A name for each root: its last path part, with as many parts before it as tell the roots apart."""
    parts = [root.partition("?")[0].rstrip("/").split("/") for root in roots]
    names = ["/".join(p[-1:]) for p in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        clashing = {n for n in names if len({r for r, m in zip(roots, names, strict=True) if m == n}) > 1}
        names = ["/".join(p[-depth:]) if n in clashing else n for n, p in zip(names, parts, strict=True)]
    return [n.strip("/") for n in names]
