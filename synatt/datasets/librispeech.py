"""LibriSpeech: `metadata.csv` (`file_id,sex,filename,speaker_id`) beside `wavs/`.

Of each speaker 13.6 % of the tracks are used, and only part 1 trains on them (the method's data table), so their
`part` is 1; folds are grouped by speaker. `filename` may stand with or without `.wav`, bare or below `wavs/`.
"""

from collections.abc import Sequence
from dataclasses import replace

from synatt.datasets.common import Found
from synatt.datasets.external import has, read_speakers
from synatt.datasets.listing import Folder
from synatt.datasets.options import Options

SOURCE = "librispeech"
COLUMNS = ("filename", "speaker_id")
SHARE = 0.136
PART = 1


def recognises(columns: Sequence[str]) -> bool:
    """True for the header of LibriSpeech's metadata."""
    return has(columns, COLUMNS)


def read(folder: Folder, options: Options) -> Found:
    """The tracks used of the LibriSpeech set in `folder`, speakers as `librispeech-<id>`."""
    found = read_speakers(folder, options, SOURCE, COLUMNS, SHARE)
    return replace(found, rows=found.rows.assign(part=PART))
