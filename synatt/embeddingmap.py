"""The embeddings of one backbone as points in a plane: PCA, then t-SNE (van der Maaten and Hinton, JMLR 2008).

Neighbours stay neighbours; how far apart two groups lie, and how large each looks, says little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synatt import storage
from synatt.errors import UsageError
from synatt.sampling import stratified_sample
from synatt.scored import Rows

EMBEDDINGS = "embeddings"
# t-SNE of 2,000 points takes seconds, and no more dots are told apart on a page.
MOST_TRACKS, FEWEST_TRACKS = 2000, 5
# The customary choices: PCA to 50 dimensions takes noise away, 30 neighbours count.
PCA_DIMENSIONS, PERPLEXITY = 50, 30.0


class BackboneError(UsageError):
    """The embeddings are not of the backbone that was asked for, or there are none."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of some answered tracks.

    Attributes:
        rows: of the evaluation, D in all.
        xy: float64 ``[D, 2]``, without a unit.
        backbone: whose embeddings they are; `backbones` are all there are.
        n_tracks: answered tracks with an embedding, before sampling.
        why_not: why there is no map; then `rows` is empty.
    """

    rows: Rows
    xy: np.ndarray
    backbone: str = ""
    backbones: tuple[str, ...] = ()
    n_tracks: int = 0
    why_not: str | None = None

    @property
    def table(self) -> pa.Table:
        """`embedding_map`: track, x, y."""
        columns = [pa.array(self.rows.track.tolist(), pa.string()), self.xy[:, 0], self.xy[:, 1]]
        return pa.table(columns, names=["track", "x", "y"])


def map_of(paths: Sequence[str], rows: Rows, backbone: str | None = None, seed: int = 0) -> EmbeddingMap | None:
    """The map of the embeddings that lie beside predictions; None where there are none.

    Args:
        paths: what the predictions were read from.
        rows: of the evaluation.
        backbone: whose embeddings; None takes the first in the table.
        seed: of sampling and t-SNE.

    Raises:
        BackboneError: `backbone` is given but has no embeddings.
    """
    tables = [storage.read_table(folder) for folder in map(find, paths) if folder]
    if not tables:
        if backbone:
            raise BackboneError(f"there are no embeddings of {backbone!r} beside the predictions: predict --embeddings")
        return None
    nobody = rows.where(np.zeros(len(rows), bool))
    backbones = tuple(dict.fromkeys(name for t in tables for name in t.column("backbone").unique().to_pylist()))
    if backbone and backbone not in backbones:
        raise BackboneError(f"no embeddings of {backbone!r}; there are those of {', '.join(backbones) or 'nobody'}")
    if not backbones:
        return EmbeddingMap(nobody, np.zeros((0, 2)), why_not="the table of embeddings is empty")
    name = backbone or backbones[0]
    found = [_vectors(t.filter(pc.equal(t.column("backbone"), name)), rows) for t in tables]
    place = np.concatenate([place for place, _ in found])
    vectors = np.concatenate([vectors for _, vectors in found])
    if len(place) < FEWEST_TRACKS:
        runs = ", ".join(sorted({str(r) for t in tables for r in t.column("run").unique().to_pylist()})[:3])
        said = f"embeddings of run {runs} belong to {len(place)} of the answered tracks; {FEWEST_TRACKS} are needed"
        return EmbeddingMap(nobody, np.zeros((0, 2)), name, backbones, len(place), said)
    kept = stratified_sample(_strata(rows, place), MOST_TRACKS, np.random.default_rng(seed))
    xy = plane(vectors[kept], seed)
    order = np.argsort(place[kept])
    mask = np.zeros(len(rows), bool)
    mask[place[kept]] = True
    return EmbeddingMap(rows.where(mask), xy[order], name, backbones, len(place))


def find(path: str) -> str | None:
    """Where the embeddings of the predictions at `path` (the output of `predict`, or its `predictions`) lie."""
    base, _, last = path.rstrip("/").rpartition("/")
    folders = [path] if last not in ("predictions", "predictions.parquet") else [base or "."]
    for name in (EMBEDDINGS, f"{EMBEDDINGS}.parquet"):
        found = storage.join(folders[0], name)
        if storage.exists(found):
            return found
    return None


def _vectors(table: pa.Table, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(place in `rows`, float32 ``[D, E]``) of the answered rows that have a finite embedding of the same run."""
    place = pd.Index(rows.track, dtype=object).get_indexer(pd.Index(table.column("track").to_pylist(), dtype=object))
    run = np.array([*table.column("run").to_pylist(), None], dtype=object)[:-1]
    # Place -1, a track that is not there, reads the last row here and is dropped all the same.
    same = (rows.run[place] == run) & rows.answered[place] if len(rows) else np.zeros(len(place), bool)
    flat = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = flat.reshape(len(place), -1) if len(place) else np.zeros((0, 0), np.float32)
    good = (place >= 0) & same & np.isfinite(vectors).all(axis=1)
    return place[good], vectors[good]


def _strata(rows: Rows, place: np.ndarray) -> np.ndarray:
    """int64: the true class where it is known, else the answer, apart from the true ones."""
    truth, answer = rows.truth[place], rows.answer[place]
    return np.where(truth >= 0, truth, rows.p.shape[1] + answer)


def plane(vectors: np.ndarray, seed: int) -> np.ndarray:
    """float32 ``[D, E]``, D at least 2 -> float64 ``[D, 2]``: t-SNE of the first principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, width = vectors.shape
    dimensions = min(PCA_DIMENSIONS, n, width)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if not centred.any():
        return np.zeros((n, 2))  # all at one place
    reduced = PCA(dimensions, random_state=seed, svd_solver="full").fit_transform(centred)
    # There have to be more points than neighbours that count.
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    init = "pca" if dimensions >= 2 else "random"
    return TSNE(2, perplexity=perplexity, init=init, random_state=seed).fit_transform(reduced).astype(np.float64)
