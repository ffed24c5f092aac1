"""VCTK: `metadata.csv` (`file_name,speaker_id,sentence`) beside `wavs/`.

Of each speaker 13.9 % of the tracks are used (the method's data table); folds are grouped by speaker. `file_name` may
stand with or without `.wav`, bare or below `wavs/`.
"""

from collections.abc import Sequence

from synatt.datasets.common import Found
from synatt.datasets.external import has, read_speakers
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
    return read_speakers(folder, options, SOURCE, COLUMNS, SHARE)
