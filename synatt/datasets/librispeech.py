"""LibriSpeech: `metadata.csv` (`file_id,sex,filename,speaker_id`) beside `wavs/`.

Of each speaker 13.6 % of the tracks are used, and only part 1 trains on them (the method's data table), so their
`part` is 1; folds are grouped by speaker. `filename` may stand with or without `.wav`, bare or below `wavs/`.
"""

from collections.abc import Sequence

from synatt.datasets import tables
from synatt.datasets.common import Found, draw_share
from synatt.datasets.external import has, metadata_path, prefixed, unknown_rows
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
    table = tables.read_csv(metadata_path(folder), COLUMNS)
    speaker = prefixed(SOURCE, table["speaker_id"])
    rows, problems = unknown_rows(table, table["filename"], folder, SOURCE, speaker=speaker, group=speaker)
    used = draw_share(rows, options.shares.get(SOURCE, SHARE), ["speaker"], options.seed)
    return Found(used.assign(part=PART), problems, None, "grouped", (folder.root,))
