"""Labelled, answered rows made in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synatt.scored import Rows
from synatt.scoring import Scorer

CLASSES = ("a", "b", "unknown")


def scorer(bootstrap: int = 200, seed: int = 0) -> Scorer:
    return Scorer(CLASSES, bootstrap, np.random.default_rng(seed))


def rows(
    truth: Sequence[int],
    answer: Sequence[int] | None = None,
    confidence: Sequence[float] | float = 0.8,
    path: Sequence[str | None] | None = None,
    **columns: Sequence[Any],
) -> Rows:
    """Rows `t0`, `t1`, ...; `answer` is the truth unless given, and -1 for a row without one."""
    n = len(truth)
    given = np.asarray(truth if answer is None else answer, np.int64)
    sure = np.broadcast_to(np.asarray(confidence, float), n).copy()
    p = np.repeat(((1 - sure) / (len(CLASSES) - 1))[:, None], len(CLASSES), 1)
    p[np.arange(n), given] = sure
    text = {name: pd.Series(list(values), dtype=object) for name, values in columns.items()}
    return Rows(
        track=np.array([f"t{i}" for i in range(n)], dtype=object),
        path=np.array([*(path or [f"/audio/t{i}.wav" for i in range(n)]), None], dtype=object)[:-1],
        error=np.full(n, None, object),
        run=np.full(n, "run", object),
        truth=np.asarray(truth, np.int64),
        answer=given,
        confidence=sure,
        unknown_score=1 - p[:, :-1].max(1, initial=0.0),
        p=p.astype(np.float32),
        columns=pd.DataFrame(text, index=range(n)),
    )
