"""VCTK: `metadata.csv` (`file_name,speaker_id,sentence`) beside `wavs/`.

Of each speaker 13.9 % of the tracks are used (the method's data table); folds are grouped by speaker. `file_name` may
stand with or without `.wav`, bare or below `wavs/`.
"""

from collections.abc import Sequence

from synatt.datasets import tables
from synatt.datasets.common import Found, draw_share
from synatt.datasets.external import has, metadata_path, prefixed, unknown_rows
from synatt.datasets.listing import Folder
from synatt.datasets.options import Options

SOURCE = "vctk"
COLUMNS = ("file_name", "speaker_id")
SHARE = 0.139


def recognises(columns: Sequence[str]) -> bool:
    """True for the header of VCTK's metadata."""
    return has(columns, COLUMNS)


def read(folder: Folder, options: Options) -> Found:
    """The tracks used of the VCTK set in `folder`, speakers as `vctk-<id>`."""
    table = tables.read_csv(metadata_path(folder), COLUMNS)
    speaker = prefixed(SOURCE, table["speaker_id"])
    rows, problems = unknown_rows(table, table["file_name"], folder, SOURCE, speaker=speaker, group=speaker)
    used = draw_share(rows, options.shares.get(SOURCE, SHARE), ["speaker"], options.seed)
    return Found(used, problems, None, "grouped", (folder.root,))
