"""The whole method as a visible list of stages, each with what it reads, and a marker once it is done.

prepare -> for each recipe: tune -> supervised -> soft labels -> semi-supervised -> predict -> evaluate.
A stage's key digests its settings and the keys of the stages it builds on; a marker with another key does not count.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from synatt import manifest, storage
from synatt.batch import PredictSettings, predict
from synatt.datasets import Options, prepare
from synatt.errors import UsageError
from synatt.fitting import FitSettings, only_split, read_choice, train
from synatt.manifest import MANIFEST_SUFFIXES, Manifest
from synatt.pseudo import pseudo
from synatt.recipe import Recipe
from synatt.tuning import tune
from synatt.worklist import of_table

log = logging.getLogger("synatt")


@dataclass(frozen=True)
class PipelineSettings:
    """What the user may choose.

    Attributes:
        inputs: manifests, or data folders for `prepare`.
        layouts: for `prepare`.
        options: for `prepare`.
        labels: true labels of the evaluation rows; without them nothing is evaluated.
        by: columns to group the evaluation by; empty: those that are there.
        address: of a Ray cluster.
    """

    inputs: tuple[str, ...]
    layouts: tuple[str, ...] = ("auto",)
    options: Options = field(default_factory=Options)
    labels: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    address: str | None = None


@dataclass(frozen=True)
class Stage:
    """One step: its name, the digest of all that decides its result, the folder it fills, and the work itself."""

    name: str
    key: str
    output: str
    run: Callable[[], Any]


def pipeline(recipes: Sequence[Recipe], output: str, settings: PipelineSettings, fresh: bool = False) -> str:
    """Run all stages below `output`; those that an earlier run of the same command finished are not run again.

    Returns:
        the report when there are labels, else the folder of predictions.
    """
    from synatt.distributed.session import ray_session

    if fresh:
        storage.delete_dir(output)
    stages = plan_stages(recipes, output, settings)
    todo = [stage for stage in stages if _state(output, stage) != "done"]
    log.info("pipeline of %d stages:", len(stages))
    for stage in stages:
        log.info("  %-10s %s", _state(output, stage), stage.name)
    if todo:
        storage.check_writable(output)
        storage.set_patience(storage.RUN_PATIENCE_S)
        with ray_session(settings.address):
            for stage in todo:
                start = time.monotonic()
                log.info("--- %s", stage.name)
                if _state(output, stage) == "to run":
                    # What lies there was made from something else.
                    storage.delete_dir(stage.output)
                    storage.write_json(_marker(output, stage.name), {"key": stage.key, "done": False})
                stage.run()
                storage.write_json(_marker(output, stage.name), {"key": stage.key, "done": True})
                log.info("--- %s took %.0f s", stage.name, time.monotonic() - start)
    return storage.join(output, "report", "report.html") if settings.labels else storage.join(output, "predictions")


def _marker(output: str, name: str) -> str:
    return storage.join(output, "_stages", name.replace(" ", "-").replace(":", "") + ".json")


def _state(output: str, stage: Stage) -> str:
    path = _marker(output, stage.name)
    marker = storage.read_json(path) if storage.is_file(path) else {}
    if marker.get("key") != stage.key:
        return "to run"
    return "done" if marker["done"] else "to resume"


def plan_stages(recipes: Sequence[Recipe], output: str, settings: PipelineSettings) -> list[Stage]:
    """The stages of the method in the original's order.

    Raises:
        UsageError: an input is missing, or two recipes share a name or an evaluation part.
    """
    _check(recipes)
    stages: list[Stage] = []

    def add(name: str, reads: Sequence[str], what: Any, fills: str, run: Callable[[], Any]) -> str:
        key = hashlib.sha256(json.dumps([name, list(reads), what], sort_keys=True, default=repr).encode()).hexdigest()[
            :16
        ]
        stages.append(Stage(name, key, fills, run))
        return key

    def path(*parts: str) -> str:
        return storage.join(output, *parts)

    def rows() -> Manifest:
        return manifest.read(path("manifest"))

    data = add("prepare", [], _data_digest(settings), path("manifest"), lambda: _prepare(path("manifest"), settings))
    clips = path("clips")
    trained: dict[str, str] = {}
    for recipe in recipes:
        name, values = recipe.name, recipe.model_dump(mode="json")
        tuned, fills = path(name, "tune"), path(name, "supervised")
        reads = [data]
        if recipe.tune.run:
            run = _bind(_tune, rows, recipe, tuned, clips, None, None)
            reads.append(add(f"{name}: tune", [data], values, tuned, run))
        trained[name] = add(
            f"{name}: supervised", reads, values, fills, _bind(_train, rows, recipe, fills, tuned, clips, None)
        )
    soft: dict[str, str] = {}
    for recipe in recipes:
        name, fills = recipe.name, path(recipe.name, "soft")
        run = _bind(_pseudo, rows, recipe, path(name, "supervised"), fills)
        soft[name] = add(f"{name}: soft labels", [trained[name]], None, fills, run)
    softs = [path(r.name, "soft") for r in recipes]
    for recipe in recipes:
        name, fills, tuned = recipe.name, path(recipe.name, "semi-supervised"), path(recipe.name, "tune")
        reads = [trained[name], *soft.values()]
        if recipe.tune.run and recipe.tune.judges_unseen:
            # Networks that were taught soft labels call more unknown: the first round's decision is not theirs.
            first = tuned if recipe.train.soft_label_folds > 1 else None
            tuned = path(name, "tune-semi-supervised")
            run = _bind(_tune, rows, recipe, tuned, clips, softs, first)
            reads.append(add(f"{name}: tune again", reads, None, tuned, run))
        run = _bind(_train, rows, recipe, fills, tuned, clips, softs)
        trained[name] = add(f"{name}: semi-supervised", reads, None, fills, run)
    final = []
    for recipe in recipes:
        name, fills = recipe.name, path("predictions", recipe.name)
        run = _bind(_predict, rows, recipe, path(name, "semi-supervised"), fills)
        final.append(add(f"{name}: predict", [trained[name]], None, fills, run))
    if settings.labels:
        what = [[_file_digest(p) for p in settings.labels], settings.by]
        add("evaluate", final, what, path("report"), _bind(_evaluate, [r.name for r in recipes], output, settings))
    return stages


def _bind(work: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: work(*args)


def _check(recipes: Sequence[Recipe]) -> None:
    names = [r.name for r in recipes]
    if len(set(names)) < len(names):
        raise UsageError(f"two recipes are called {sorted(names)[0]!r}: give them different names")
    parts = [r.part for r in recipes]
    if len(recipes) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise UsageError("several recipes in one pipeline need different evaluation parts (key 'part')")


def _is_manifest(path: str) -> bool:
    return path.lower().endswith(MANIFEST_SUFFIXES) or storage.is_file(storage.join(path, "manifest.parquet"))


def _data_digest(settings: PipelineSettings) -> list[Any]:
    seen: list[Any] = []
    for path in settings.inputs:
        if not storage.exists(path):
            raise UsageError(f"no such file or folder: {path}")
        if _is_manifest(path):
            seen.append(_file_digest(path if storage.is_file(path) else storage.join(path, "manifest.parquet")))
        else:
            seen.append(hashlib.sha256(json.dumps(storage.list_files(path)).encode()).hexdigest())
    return [seen, list(settings.inputs), list(settings.layouts), repr(settings.options)]


def _file_digest(path: str) -> str:
    if storage.is_dir(path):
        return hashlib.sha256(json.dumps(storage.list_files(path)).encode()).hexdigest()
    return hashlib.sha256(storage.read_bytes(path)).hexdigest()


def _prepare(output: str, settings: PipelineSettings) -> None:
    given = [p for p in settings.inputs if _is_manifest(p)]
    raw = [p for p in settings.inputs if not _is_manifest(p)]
    if given and raw:
        raise UsageError("give either manifests or data folders, not both: run the prepare job on the folders first")
    if raw:
        prepare(raw, output, settings.layouts, settings.options)
    else:
        manifest.write(storage.join(output, "manifest.parquet"), manifest.concat([manifest.read(p) for p in given]))


def _tune(
    rows: Callable[[], Manifest],
    recipe: Recipe,
    output: str,
    clips: str,
    softs: list[str] | None,
    first_round: str | None,
) -> None:
    stage, settings = 0 if softs is None else 1, FitSettings(clips=clips)
    tune(rows(), recipe, output, stage, _soft(softs), settings, first_round=first_round)


def _soft(paths: list[str] | None) -> Manifest | None:
    return None if paths is None else manifest.concat([manifest.read(p) for p in paths])


def _train(
    rows: Callable[[], Manifest], recipe: Recipe, output: str, choice: str, clips: str, softs: list[str] | None
) -> None:
    epochs, confidences = read_choice(choice if recipe.tune.run else None)
    soft = _soft(softs)
    train(rows(), recipe, output, 0 if soft is None else 1, soft, FitSettings((), epochs, confidences, clips))


def _eval_rows(rows: Callable[[], Manifest], recipe: Recipe) -> Manifest:
    found = only_split(rows(), "eval", [] if recipe.part is None else [recipe.part])
    if not len(found):
        part = "" if recipe.part is None else f" of part {recipe.part}"
        raise UsageError(f"the manifest has no evaluation row{part} (split 'eval') for recipe {recipe.name}")
    return found


def _pseudo(rows: Callable[[], Manifest], recipe: Recipe, models: str, output: str) -> None:
    pseudo(_eval_rows(rows, recipe), [models], output, PredictSettings(), recipe.train.soft_label_least)


def _predict(rows: Callable[[], Manifest], recipe: Recipe, models: str, output: str) -> None:
    settings = PredictSettings(members=len(recipe.backbones) > 1, answer=True)
    predict(lambda: of_table(_eval_rows(rows, recipe).table), [models], output, settings)


def _evaluate(names: list[str], output: str, settings: PipelineSettings) -> None:
    from synatt.evaluation import evaluate, save
    from synatt.report import render
    from synatt.summary import notes, summary

    rows, soft = [storage.join(output, "manifest")], [storage.join(output, name, "soft") for name in names]
    stages = {
        # The first stage is judged too, so that one sees what the soft labels brought.
        "supervised": ([storage.join(output, name, "soft", "predictions") for name in names], rows),
        "semi-supervised": (
            [storage.join(output, "predictions", name, "predictions") for name in names],
            [*rows, *(storage.join(folder, "manifest.parquet") for folder in soft)],
        ),
    }
    for stage, (tables, trained_on) in stages.items():
        found = evaluate(tables, settings.labels, by=settings.by or None, trained_on=trained_on)
        folder = storage.join(output, "report") if stage == "semi-supervised" else storage.join(output, "report", stage)
        render(found, folder, [storage.join(output, name, stage) for name in names])
        save(found, folder)
        storage.write_text(storage.join(folder, "summary.txt"), summary(found) + "\n")
        log.info("%s:\n%s", stage, "\n".join([summary(found), *notes(found)]))
