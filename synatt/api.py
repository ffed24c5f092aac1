"""`synatt.load(model_folders).predict(...)`: the job's numbers without Ray."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import predictions, staged
from synatt.ensemble import Ensemble, plan
from synatt.errors import UsageError
from synatt.inference import PLAIN, Engine, Inference, InferencePrecision
from synatt.staging import Windows, stage


class Attribution:
    """An ensemble that is ready to answer.

    Attributes:
        classes: class names, in the order of the `p_` columns.
    """

    def __init__(self, model_folders: Sequence[str], inference: Inference = PLAIN) -> None:
        self._ensemble = Ensemble(plan(model_folders, inference))
        self.classes = self._ensemble.plan.classes

    def predict(
        self,
        paths_or_arrays: "str | os.PathLike[str] | np.ndarray | Sequence[str | os.PathLike[str] | np.ndarray]",
        batch: int = 32,
        windows: Windows | None = None,
        tracks: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """One row per recording, with the columns of the `predictions` table.

        Args:
            paths_or_arrays: local paths, URIs, or float arrays ``[S]`` at 16 kHz; one or several.
            batch: recordings decoded at a time.
            windows: score files as a whole, window by window, as `--windows` of the job does; arrays stay one clip.
            tracks: keys of the recordings, by default the path or ``array-<position>``. Where the models' soft labels
                were cross-fitted, a manifest's own keys give the job's numbers (see `synatt.crossfit`).

        Returns:
            a frame in the order given; a recording that cannot be used has `status` "error" and says why in `error`.

        Raises:
            UsageError: there are more or fewer tracks than recordings.
        """
        if isinstance(paths_or_arrays, str | os.PathLike | np.ndarray):
            paths_or_arrays = [paths_or_arrays]
        sources = [s if isinstance(s, np.ndarray) else os.fspath(s) for s in paths_or_arrays]
        named = [s if isinstance(s, str) else f"array-{i}" for i, s in enumerate(sources)]
        keys = named if tracks is None else list(tracks)
        if len(keys) != len(sources):
            raise UsageError(f"{len(keys)} tracks for {len(sources)} recordings")
        starts = range(0, len(sources), batch if windows is None else 1)
        size = starts.step
        tables = [self._rows(keys[i : i + size], sources[i : i + size], windows) for i in starts]
        return pa.concat_tables(tables or [predictions.schema(self.classes).empty_table()]).to_pandas()

    def _rows(self, tracks: list[str], sources: "list[str | np.ndarray]", windows: Windows | None) -> pa.Table:
        plan = self._ensemble.plan
        units = stage(tracks, sources, plan, windows)
        tables = staged.tables(units, self._ensemble.score(units.logmels, units.tracks), plan, plan.run, ())
        if windows is None:
            return staged.without_windows(tables)["predictions"]
        return staged.over_windows(tables, self.classes, plan.window_s, keep_windows=False)["predictions"]


def load(
    model_folders: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]",
    engine: Engine = "torch",
    precision: InferencePrecision = "float32",
) -> Attribution:
    """Load an ensemble from model folders, or from folders of them (local paths or URIs).

    Args:
        engine: what runs the networks: torch, or 'openvino' (extra `openvino`), faster on CPUs.
        precision: arithmetic of the networks.

    Raises:
        UsageError: there is no model folder, one is damaged, or they do not belong together; the engine is not
            installed, or the machine lacks the precision.
    """
    if isinstance(model_folders, str | os.PathLike):
        model_folders = [model_folders]
    return Attribution([os.fspath(folder) for folder in model_folders], Inference(engine, precision))
