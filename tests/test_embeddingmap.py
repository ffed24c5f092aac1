"""The map of embeddings: neighbours stay together, samples are fair, and embeddings of another run show nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from synatt import predictions
from synatt.embeddingmap import BackboneError, find, map_of, plane
from synatt.scored import Rows

RUN = "e1-w1"


def rows_of(n: int, run: str = RUN) -> Rows:
    """Tracks of three classes in turn, all answered right; the last gave no answer."""
    truth = np.arange(n) % 3
    answer = truth.copy()
    answer[-1] = -1
    texts = {name: np.array([f"{name}{i}" for i in range(n)], dtype=object) for name in ("track", "path", "error")}
    runs = np.array([run] * n, dtype=object)
    numbers = dict.fromkeys(("confidence", "unknown_score"), np.full(n, 0.5))
    return Rows(
        **texts,
        **numbers,
        run=runs,
        truth=truth,
        answer=answer,
        p=np.zeros((n, 3)),
        columns=pd.DataFrame(index=range(n)),
    )


def write_embeddings(folder: Path, rows: Rows, names: tuple[str, ...] = ("A", "B")) -> np.ndarray:
    """Three clouds, one a class, for every row; returns the vectors ``[N, 8]`` of the first backbone."""
    rng = np.random.default_rng(0)
    vectors = [(10 * np.eye(8)[rows.truth] + rng.normal(size=(len(rows), 8))).astype(np.float32) for _ in names]
    table = predictions.embeddings_table(rows.track.tolist(), vectors, names, RUN)
    (folder / "embeddings").mkdir(parents=True)
    pq.write_table(table, folder / "embeddings" / "part-00000.parquet")
    return vectors[0]


def test_tracks_of_a_cloud_stay_together_and_those_without_an_answer_are_left_out(tmp_path: Path) -> None:
    rows = rows_of(91)
    write_embeddings(tmp_path, rows)
    found = map_of([str(tmp_path)], rows)
    assert found is not None and found.why_not is None
    assert (found.backbone, found.backbones, found.n_tracks) == ("A", ("A", "B"), 90)
    assert found.rows.track.tolist() == rows.track[:90].tolist()
    distance = np.linalg.norm(found.xy[:, None] - found.xy[None], axis=2) + np.diag(np.full(90, np.inf))
    assert (found.rows.truth[distance.argmin(axis=1)] == found.rows.truth).all()
    assert found.table.schema.names == ["track", "x", "y"]
    assert found.table.num_rows == 90


def test_the_same_seed_gives_the_same_map_and_another_backbone_another(tmp_path: Path) -> None:
    rows = rows_of(31)
    write_embeddings(tmp_path, rows)
    one, again, other = (map_of([str(tmp_path)], rows, name) for name in (None, "A", "B"))
    assert one and again and other
    assert np.array_equal(one.xy, again.xy)
    assert not np.array_equal(one.xy, other.xy)


def test_the_order_of_the_table_does_not_move_names(tmp_path: Path) -> None:
    rows = rows_of(31)
    write_embeddings(tmp_path, rows)
    file = tmp_path / "embeddings" / "part-00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(np.random.default_rng(1).permutation(table.num_rows)), file)
    found = map_of([str(tmp_path)], rows, "A")
    assert found is not None
    distance = np.linalg.norm(found.xy[:, None] - found.xy[None], axis=2) + np.diag(np.full(30, np.inf))
    assert (found.rows.truth[distance.argmin(axis=1)] == found.rows.truth).all()


def test_embeddings_of_another_run_are_not_shown(tmp_path: Path) -> None:
    write_embeddings(tmp_path, rows_of(20))
    found = map_of([str(tmp_path)], rows_of(20, run="e2-w1"))
    assert found is not None
    assert found.why_not == "embeddings of run e1-w1 belong to 0 of the answered tracks; 5 are needed"
    assert found.table.num_rows == 0


def test_without_embeddings_there_is_no_map_and_no_backbone_to_ask_for(tmp_path: Path) -> None:
    assert map_of([str(tmp_path)], rows_of(9)) is None
    with pytest.raises(BackboneError, match="no embeddings of 'A' beside the predictions"):
        map_of([str(tmp_path)], rows_of(9), "A")
    write_embeddings(tmp_path, rows_of(9))
    with pytest.raises(BackboneError, match="no embeddings of 'C'; there are those of A, B"):
        map_of([str(tmp_path)], rows_of(9), "C")


def test_embeddings_lie_beside_the_predictions(tmp_path: Path) -> None:
    write_embeddings(tmp_path, rows_of(6))
    assert find(str(tmp_path)) == find(f"{tmp_path}/predictions") == f"{tmp_path}/embeddings"
    assert find(f"{tmp_path}/embeddings") is None


def test_vectors_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    rows = rows_of(20)
    rows = replace(rows, answer=np.where(rows.answer < 0, 0, rows.answer))
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    vectors[3, 2] = np.nan
    (tmp_path / "embeddings").mkdir()
    table = predictions.embeddings_table(rows.track.tolist(), [vectors], ["A"], RUN)
    pq.write_table(table, tmp_path / "embeddings" / "p.parquet")
    found = map_of([str(tmp_path)], rows)
    assert found is not None
    assert found.n_tracks == 19
    assert "track3" not in found.rows.track


def test_equal_vectors_are_one_place() -> None:
    assert np.array_equal(plane(np.ones((6, 4), np.float32), 0), np.zeros((6, 2)))
