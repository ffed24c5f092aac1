"""LJSpeech: `metadata.csv` (`id,file_name,sentence`) beside `wavs/`, or as first published (`id|text|text`, no header).

48 % of the tracks are used, drawn at random; folds are stratified by label (the method's data table). `file_name`
may stand with or without `.wav`, bare or below `wavs/`. One reader speaks them all.
"""

from collections.abc import Sequence

import pandas as pd

from synatt.constants import UNKNOWN
from synatt.datasets import tables
from synatt.datasets.common import LJ_SPEAKER, Found, draw_share
from synatt.datasets.external import has, metadata_path, unknown_rows
from synatt.datasets.listing import Folder
from synatt.datasets.options import Options

SOURCE = "ljspeech"
COLUMNS = ("file_name",)
SHARE = 0.48


def recognises(columns: Sequence[str]) -> bool:
    """True for the header of LJSpeech's metadata, or for the first line of the published one."""
    return (has(columns, ("file_name", "sentence")) and "speaker_id" not in columns) or _published(columns)


def _published(columns: Sequence[str]) -> bool:
    # Its first line is data; its sentences hold commas, so only the first cell is sure to hold a bar.
    return bool(columns) and columns[0].startswith("LJ") and "|" in columns[0]


def read(folder: Folder, options: Options) -> Found:
    """The tracks used of the LJSpeech set in `folder`."""
    path = metadata_path(folder)
    if _published(tables.header(path)):
        first = [line.partition("|")[0] for line in tables.lines(tables.read_text(path)) if line]
        table = pd.DataFrame({"file_name": pd.Series(first, dtype="object")})
    else:
        table = tables.read_csv(path, COLUMNS)
    rows, problems = unknown_rows(table, table["file_name"], folder, SOURCE, speaker=LJ_SPEAKER, stratum=UNKNOWN)
    used = draw_share(rows, options.shares.get(SOURCE, SHARE), [], options.seed)
    return Found(used, problems, None, "stratified", (folder.root,))
