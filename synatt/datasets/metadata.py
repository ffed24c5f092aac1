"""What a table beside the audio says of each track: speaker, generator, sentence and whatever else."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from synatt import storage
from synatt.datasets.tables import TableError, read_csv
from synatt.manifest import COLUMNS, Manifest, build

# Columns of the manifest that metadata may fill, and what others call them.
FILLED = {"speaker": ("speaker", "speaker_id", "voice"), "generator": ("generator", "attack", "system")}
# The manifest's own; a table of metadata does not change them.
KEPT = tuple(name for name in (*COLUMNS, "p") if name not in FILLED)


def read_metadata(path: str) -> pd.DataFrame:
    """A CSV or Parquet table with a column `track`, every cell as text, empty ones as null.

    Raises:
        TableError: it cannot be read, has no column `track`, or names a track twice.
    """
    if path.lower().endswith(".parquet"):
        table = storage.read_table(path).to_pandas()
        if "track" not in table.columns:
            raise TableError(f"{path} has no column 'track'; it has {', '.join(map(str, table.columns))}")
        table = table.astype("object").where(table.notna(), None)
        table = table.map(lambda cell: None if cell is None else str(cell))
    else:
        table = read_csv(path, ["track"])
        table = table.astype("object").where(table != "", None)
    if twice := table["track"][table["track"].duplicated()].tolist():
        raise TableError(f"{path} names {len(twice)} tracks twice, first {twice[0]}")
    return table


def with_metadata(m: Manifest, paths: Sequence[str]) -> tuple[Manifest, int]:
    """`m` with what the tables at `paths` say, and how many rows they speak of.

    A row is found by its track, else by the name of its file. `speaker` and `generator` are filled where they are
    null (a column 'voice' counts as speaker where there is none of that name); other columns that the manifest does
    not have are added as texts.

    Raises:
        TableError: see `read_metadata`; or no row at all is spoken of by one of the tables.
    """
    table = m.table.to_pandas(types_mapper={pa.int8(): pd.Int8Dtype()}.get)
    known = pd.Series(False, index=table.index)
    names = table["path"].str.rpartition("/")[2]
    for path in paths:
        said = read_metadata(path).set_index("track")
        found = said.reindex(table["track"]).set_axis(table.index)
        by_name = said.reindex(names).set_axis(table.index)
        here = table["track"].isin(said.index)
        found = found.where(here, by_name)
        spoken = here | names.isin(said.index)
        if len(table) and not spoken.any():
            raise TableError(f"{path} speaks of none of the {len(table)} tracks; its first is {said.index[0]!r}")
        known |= spoken
        for column, others in FILLED.items():
            source = next((name for name in others if name in said.columns), None)
            if source:
                table[column] = table[column].where(table[column].notna(), found[source])
        for column in said.columns:
            if column not in KEPT and column not in FILLED:
                table[column] = found[column] if column not in table else table[column].fillna(found[column])
    texts = {c: table[c].astype("object").where(table[c].notna(), None) for c in table if table[c].dtype == object}
    return build(table.assign(**texts), m.classes), int(known.sum())
