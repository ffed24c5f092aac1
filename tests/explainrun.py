"""Predictions of real speech by small models with random weights, with their embeddings and true labels beside them."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import torch

from synatt import staged
from synatt.ensemble import Ensemble, plan
from synatt.staging import stage
from tests.conftest import CLASSES


def write_predictions(folder: Path, models: list[str], paths: list[str]) -> str:
    """`predictions`, `embeddings`, `labels.csv` of the clips at `paths` and of a missing file; returns `folder`."""
    ensemble = Ensemble(plan(models), torch.device("cpu"))
    paths = [*paths, "/none/gone.wav"]
    tracks = [f"t{i:02d}" for i in range(len(paths))]
    units = stage(tracks, paths, ensemble.plan)
    tables = staged.tables(
        units, ensemble.score(units.logmels, units.tracks), ensemble.plan, f"{ensemble.plan.run}-work", ["embeddings"]
    )
    for name, table in staged.without_windows(tables).items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part-00000.parquet")
    # Every other answer is right.
    answer = pq.read_table(folder / "predictions")["algorithm"].to_pylist()
    truth = [(a or 0) if i % 2 else ((a or 0) + 1) % len(CLASSES) for i, a in enumerate(answer)]
    labels = pd.DataFrame({"track": tracks, "label": truth, "generator": [f"g{i % 3}" for i in range(len(tracks))]})
    labels.to_csv(folder / "labels.csv", index=False)
    return str(folder)
