"""What an evaluation shows besides numbers: explained clips, where asked for, and a map of embeddings, if any."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
import pyarrow as pa

from synatt.embeddingmap import EmbeddingMap, map_of
from synatt.ensemble import plan
from synatt.errors import UsageError
from synatt.evaluation import Evaluation
from synatt.examples import Example, choose
from synatt.explanations import Explanations, explain_rows
from synatt.scored import Rows

EXPLAINED_COLUMNS = ("track", "kind", "truth", "answer", "confidence", "path", "why_not")


@dataclass(frozen=True)
class Asked:
    """What the user may ask for.

    Attributes:
        models: model folders of the ensemble, or folders of them.
        explain: clips a kind to explain.
        tracks: keys of further clips to explain.
        backbone: whose embeddings the map is of; None: the first.
    """

    models: Sequence[str] = ()
    explain: int = 0
    tracks: Sequence[str] = ()
    backbone: str | None = None


@dataclass(frozen=True)
class Looks:
    """What is there to look at; None where it was not asked for or nothing lies there.

    Attributes:
        tables: `explanations` and `embedding_map`, for the parts that are not None.
    """

    explanations: Explanations | None = None
    embedding_map: EmbeddingMap | None = None
    tables: dict[str, pa.Table] = field(default_factory=dict)

    @property
    def not_shown(self) -> list[str]:
        """A line for everything that was to be shown and is not."""
        lines = []
        if self.explanations:
            why = {c.row: c.why_not for c in self.explanations.clips if c.why_not}
            if self.explanations.why_not:
                lines.append(f"no clip is explained: {self.explanations.why_not}")
            elif why:
                n, first = len(why), next(iter(why.values()))
                lines.append(f"{n} of {len(self.explanations.clips)} clips are not explained; the first: {first}")
        if self.embedding_map and self.embedding_map.why_not:
            lines.append(f"no map of embeddings: {self.embedding_map.why_not}")
        return lines


def look(evaluation: Evaluation, predictions: Sequence[str], asked: Asked) -> Looks:
    """All there is to look at.

    Args:
        predictions: the paths that the evaluation was read from.

    Raises:
        UsageError: clips are to be explained without models; a track or a backbone that is asked for is not there.
    """
    made = Looks()
    found = map_of(predictions, evaluation.rows, asked.backbone, evaluation.metrics["settings"]["seed"])
    if found:
        made = replace(made, embedding_map=found, tables={"embedding_map": found.table})
    if asked.explain or asked.tracks:
        explanations = _explain(evaluation, asked)
        table = explanation_table(explanations, evaluation.metrics["classes"])
        made = replace(made, explanations=explanations, tables={**made.tables, "explanations": table})
    return made


def _explain(evaluation: Evaluation, asked: Asked) -> Explanations:
    if not asked.models:
        raise UsageError("explaining clips takes the models that answered: give --models PATH")
    classes, rows = evaluation.metrics["classes"], evaluation.rows
    examples = _examples(evaluation, asked)
    try:
        ensemble = plan(asked.models)
    except UsageError as err:
        # The report is worth having without.
        return Explanations(rows, why_not=str(err))
    return explain_rows(rows, classes, ensemble, examples)


def _examples(evaluation: Evaluation, asked: Asked) -> list[Example]:
    index = {name: i for i, name in enumerate(evaluation.metrics["classes"])}
    confused = evaluation.tables["most_confused"].to_pandas()[["truth", "answer"]]
    pairs = pd.DataFrame({name: confused[name].map(index) for name in confused}).astype(int)
    return choose(evaluation.rows, len(index), asked.explain, asked.tracks, pairs)


def explanation_table(explanations: Explanations, classes: Sequence[str]) -> pa.Table:
    """`explanations`: a row per chosen clip and kind; `why_not` is null where it is shown."""
    rows: Rows = explanations.rows
    names = [*classes, None]
    made = [
        (rows.track[c.row], kind, names[rows.truth[c.row]], names[rows.answer[c.row]], rows.confidence[c.row],
         rows.path[c.row], c.why_not)
        for c in explanations.clips
        for kind in c.kinds
    ]  # fmt: skip
    columns = zip(*made, strict=True) if made else [()] * len(EXPLAINED_COLUMNS)
    kinds = [pa.float64() if name == "confidence" else pa.string() for name in EXPLAINED_COLUMNS]
    return pa.table([pa.array(list(c), kind) for c, kind in zip(columns, kinds, strict=True)], list(EXPLAINED_COLUMNS))
