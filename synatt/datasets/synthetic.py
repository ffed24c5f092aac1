"""Synthetic (other TTS): `metadata.csv` (`audio_path,exp_name,algorithm,speaker_id`) beside `wavs/`.

Half of each (exp_name, algorithm) is used, algorithm 3 whole; folds are stratified by algorithm and grouped by
exp_name (the method's data table). `audio_path` is looked for, in this order: relative to the folder; with another
audio suffix or none; relative to `wavs/` (whatever stands before its last `wavs/`, an absolute path say, is ignored);
and, when it is a bare file name, anywhere in the folder as long as only one file is called so.
"""

from collections.abc import Sequence

import pandas as pd

from synatt.datasets import tables
from synatt.datasets.common import PROBLEM_COLUMNS, Found, draw_share, join_frames
from synatt.datasets.external import has, metadata_path, prefixed, unknown_rows
from synatt.datasets.listing import Folder
from synatt.datasets.options import Options

SOURCE = "synthetic"
COLUMNS = ("audio_path", "exp_name", "algorithm")
SHARE = 0.5
WHOLE_ALGORITHM = "3"


def recognises(columns: Sequence[str]) -> bool:
    """True for the header of the Synthetic set's metadata."""
    return has(columns, COLUMNS)


def read(folder: Folder, options: Options) -> Found:
    """The tracks used of the Synthetic set in `folder`; `generator` is `synthetic-<algorithm>`."""
    table = tables.read_csv(metadata_path(folder), COLUMNS)
    # Saved by pandas, a column of integers with gaps reads 3.0.
    algorithm = table["algorithm"].str.strip().str.replace(r"\.0+$", "", regex=True)
    speaker = table["speaker_id"] if "speaker_id" in table else pd.Series("", index=table.index, dtype="object")
    rows, problems = unknown_rows(
        table,
        table["audio_path"],
        folder,
        SOURCE,
        speaker=prefixed(SOURCE, speaker),
        generator=prefixed(SOURCE, algorithm),
        stratum=algorithm,
        group=table["exp_name"].str.strip(),
    )
    share = options.shares.get(SOURCE, SHARE)
    whole = rows["stratum"] == WHOLE_ALGORITHM
    parts = [
        draw_share(rows[~whole], share, ["group", "stratum"], options.seed),
        rows[whole] if share > 0 else rows[:0],
    ]
    used = join_frames(parts, list(rows.columns))
    return Found(used, join_frames([problems], PROBLEM_COLUMNS), None, "stratified_grouped", (folder.root,))
