"""What the models were trained on, as `evaluate --trained-on` is told: the rows that training saw, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synatt.errors import UsageError
from synatt.truth import UNLABELLED, LabelsError, read_label_table


class TrainedOnError(UsageError):
    """The tables of training rows cannot be read, or hold no row that was trained on."""


@dataclass(frozen=True)
class Trained:
    """Rows that training saw.

    Attributes:
        paths: the tables, as they were given.
        hard: rows trained on with their true class: text columns, and `label` (index, `UNLABELLED` if not told).
        soft: rows trained on with soft labels, that is with an ensemble's own answers; same columns.
    """

    paths: tuple[str, ...]
    hard: pd.DataFrame
    soft: pd.DataFrame


def read_trained(paths: Sequence[str], classes: Sequence[str]) -> Trained:
    """The rows of the manifests (or any tables with `track` and `label`) at `paths` that a model was trained on.

    These are rows with soft labels `p`, and, outside the split 'eval' (which is never trained on with labels), rows
    that are labelled or in the split 'train'.

    Raises:
        TrainedOnError: a table cannot be read or names other classes, or none of its rows was trained on.
    """
    hard, soft = [], []
    for path in paths:
        try:
            table = read_label_table(path, classes)
        except LabelsError as err:
            raise TrainedOnError(f"--trained-on: {err}") from None
        softly = _column(table, "p").notna()
        split = _column(table, "split")
        labelled = (table["label"] != UNLABELLED) | (split == "train")
        hardly = ~softly & labelled & (split != "eval")
        if not (softly | hardly).any():
            raise TrainedOnError(
                f"--trained-on {path}: none of its {len(table)} rows was trained on "
                "(split 'train', a label outside split 'eval', or soft labels p)"
            )
        hard.append(table[hardly])
        soft.append(table[softly])
    return Trained(tuple(paths), pd.concat(hard, ignore_index=True), pd.concat(soft, ignore_index=True))


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series(np.nan, index=table.index, dtype=object)
