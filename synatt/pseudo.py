"""The `pseudo` job: an ensemble's class probabilities over unlabelled tracks become their soft labels."""

import logging

import pyarrow.compute as pc

from synatt import manifest, predictions, storage
from synatt.batch import PredictSettings, predict
from synatt.errors import UsageError
from synatt.manifest import Manifest
from synatt.worklist import of_table

log = logging.getLogger("synatt")


def pseudo(rows: Manifest, models: list[str], output: str, settings: PredictSettings, least: float = 0.0) -> str:
    """Write a manifest of `rows` whose `p` is the ensemble's mean class probabilities, the label of stage 2.

    Any label a row has is dropped: the models' opinion replaces it. Recordings without an answer, and those whose
    largest probability is below `least`, are left out and stand in `problems.parquet`.

    Returns:
        the path of the manifest.

    Raises:
        UsageError: there is no row, none could be scored, or the models are not so sure of any.
    """
    if not len(rows):
        raise UsageError("no unlabelled track to give soft labels to")
    predict(lambda: of_table(rows.table), models, output, settings)
    table = predictions.read(output)
    classes = tuple(name[2:] for name in table.column_names if name.startswith("p_"))
    ok = table.filter(pc.equal(table.column("status"), "ok"))
    if not ok.num_rows:
        raise UsageError(f"none of the {len(rows)} tracks could be scored; {output}/predictions says why for each")
    scored = dict(
        zip(
            ok.column("track").to_pylist(),
            zip(*(ok.column(f"p_{c}").to_pylist() for c in classes), strict=True),
            strict=True,
        )
    )
    found = [row for row in rows.table.drop_columns(["label", "p"]).to_pylist() if row["track"] in scored]
    for row in found:
        row["p"] = list(scored[row["track"]])
    largest = [max(row["p"]) for row in found]
    kept = [row for row, p in zip(found, largest, strict=True) if p >= least]
    unsure = [(row, p) for row, p in zip(found, largest, strict=True) if p < least]
    if not kept:
        raise UsageError(f"the models are less than {least:g} sure of each of the {len(found)} tracks")
    bad = table.filter(pc.equal(table.column("status"), "error")).select(["track", "path", "error"]).to_pylist()
    problems = [
        {"kind": b["error"].partition(":")[0], "track": b["track"], "path": b["path"], "detail": b["error"]}
        for b in bad
    ]
    problems += [
        {
            "kind": "unsure",
            "track": row["track"],
            "path": row["path"],
            "detail": f"unsure: the largest probability is {p:.3f}, below {least:g}",
        }
        for row, p in unsure
    ]
    storage.write_table(storage.join(output, "problems.parquet"), manifest.problems_table(problems))
    target = storage.join(output, "manifest.parquet")
    manifest.write(target, manifest.build(kept, classes))
    log.info("soft labels for %d tracks; %d without, %d of them unsure", len(kept), len(problems), len(unsure))
    return target
