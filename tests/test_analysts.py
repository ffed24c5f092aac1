"""The tables in the hands of an analyst: pandas, polars and DuckDB, and every query of the README."""

import datetime
import json
import os
import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from synatt import publish, staged, storage, worklist
from synatt.ensemble import Ensemble, plan
from synatt.predictions import schema, table_schemas
from synatt.publish import Merge
from synatt.staging import stage_shard
from tests.conftest import CLASSES, make_tiny_recipe
from tests.predictrun import write_model

README = Path(__file__).parents[1] / "README.md"
QUERIES = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
KINDS = ("predictions", "members", "embeddings")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, clip_paths: list[str]) -> Path:
    """A working folder as the README's queries expect it: runs/mine with all tables, and manifest.parquet."""
    root = tmp_path_factory.mktemp("analyst")
    for i, name in enumerate(("A", "B")):
        write_model(root / "models" / name, make_tiny_recipe(name=name), i)
    tracks = [f"clip{i:02d}.wav" for i in range(len(clip_paths))] + ["gone.wav"]
    manifest = pd.DataFrame(
        {
            "track": tracks,
            "path": [*clip_paths, "/none/gone.wav"],
            "label": pd.array([i % 6 for i in range(12)] + [None], dtype="Int8"),
            "source": ["web" if i % 2 else "phone" for i in range(13)],
            "recorded": [datetime.date(2026, 11, 1 + i) for i in range(13)],
        }
    )
    manifest.to_parquet(root / "manifest.parquet", index=False)
    for folder, by_source in (("runs/mine", False), ("runs/parted", True)):
        _predict(root, root / folder, pa.Table.from_pandas(manifest), by_source)
    return root


def _predict(root: Path, output: Path, rows: pa.Table, by_source: bool) -> None:
    ensemble = Ensemble(plan([str(root / "models")]))
    work = worklist.write(worklist.of_table(rows), str(output / "work"))
    (segment,) = work.segments
    for shard in range(segment.shards):
        for units in stage_shard(worklist.read_shard(str(output / "work"), segment.name, shard), ensemble.plan):
            made = staged.tables(units, ensemble.score(units.logmels, units.tracks), ensemble.plan, "run", KINDS[1:])
            for kind, table in made.items():
                name = str(staged.Name.of(shard, units))
                storage.write_table(str(output / "staged" / kind / name), table)
    folders = (str(output / "work"), segment.name, str(output / "staged"), str(output))
    settings = {"run": json.dumps({"models": ensemble.plan.run})}
    publish.merge_segment(Merge(*folders, 0, KINDS, CLASSES, 64, None, by_source, settings))


def test_pandas_polars_and_duckdb_see_the_documented_columns(tree: Path) -> None:
    folder = str(tree / "runs/mine/predictions")
    frame, polars = pd.read_parquet(folder), pl.read_parquet(folder)
    duck = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet'")
    assert list(frame.columns) == polars.columns == duck.columns == schema(CLASSES).names
    assert len(frame) == polars.height == len(duck) == 13
    assert polars.schema["p_a"] == pl.Float32 and polars.schema["algorithm"] == pl.Int8
    assert dict(zip(duck.columns, map(str, duck.types), strict=True))["confidence"] == "FLOAT"
    assert polars.filter(pl.col("status") == "error")["track"].to_list() == ["gone.wav"]
    np.testing.assert_array_equal(frame.p_a.to_numpy(), polars["p_a"].to_numpy())


def test_embeddings_are_vectors_of_fixed_length(tree: Path) -> None:
    folder = str(tree / "runs/mine/embeddings")
    assert pl.read_parquet(folder).schema["embedding"] == pl.Array(pl.Float32, 64)
    kind = pq.ParquetDataset(folder).schema.field("embedding").type
    assert pa.types.is_fixed_size_list(kind) and kind.list_size == 64


def test_partitions_by_source_are_found_by_all_three(tree: Path) -> None:
    folder = str(tree / "runs/parted/predictions")
    wanted = {"phone": 7, "web": 6}
    assert pd.read_parquet(folder).source.value_counts().to_dict() == wanted
    counts = pl.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)["source"].value_counts()
    assert dict(counts.iter_rows()) == wanted
    found = duckdb.sql(
        f"SELECT source, count(*) FROM read_parquet('{folder}/*/*.parquet', hive_partitioning=true) GROUP BY 1"
    )
    assert dict(found.fetchall()) == wanted
    assert ds.dataset(folder, partitioning="hive").count_rows() == 13


def test_a_reader_can_skip_row_groups_by_statistics(tree: Path) -> None:
    (path,) = (tree / "runs/mine/predictions").iterdir()
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["track"].statistics.min == "clip00.wav" and columns["track"].statistics.max == "gone.wav"
    assert columns["confidence"].statistics.has_min_max
    assert {c.compression for c in columns.values()} == {"ZSTD"}


def test_the_file_says_what_its_columns_are_and_which_run_wrote_it(tree: Path) -> None:
    (path,) = (tree / "runs/mine/predictions").iterdir()
    found = pq.read_schema(path)
    assert all(found.field(name).metadata[b"description"] for name in found.names)
    assert json.loads(found.metadata[b"synatt.classes"]) == list(CLASSES)
    assert "models" in json.loads(found.metadata[b"synatt.run"])


def test_the_readme_describes_every_column_of_every_table() -> None:
    text = README.read_text()
    for kind, columns in table_schemas(("<class>",), 64).items():
        for name in columns.names:
            assert f"`{name}`" in text, f"{kind}.{name} is not in the README"


@pytest.mark.parametrize("query", QUERIES, ids=[" ".join(q.split())[:40] for q in QUERIES])
def test_every_query_of_the_readme_runs_and_finds_something(tree: Path, query: str) -> None:
    here = Path.cwd()
    os.chdir(tree)
    try:
        assert duckdb.sql(query).fetchall()
    finally:
        os.chdir(here)


def test_there_are_queries_in_the_readme() -> None:
    assert len(QUERIES) >= 5
