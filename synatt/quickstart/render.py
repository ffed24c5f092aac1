"""Render the corpus into a folder: what is there already is kept, the rest is made on all cores, tables come last."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from synatt import manifest, storage
from synatt.quickstart.clip import perturbation, render_clips
from synatt.quickstart.plan import Clip, Sizes, jobs, plan
from synatt.quickstart.pool import cores, in_processes
from synatt.quickstart.roster import CLASSES, available, require_packages

log = logging.getLogger("synatt.quickstart")

SOURCE = "quickstart"
LABELS = pa.schema(
    [
        ("track", pa.string()),
        ("label", pa.int8()),
        ("generator", pa.string()),
        ("speaker", pa.string()),
        ("perturbation", pa.string()),
        ("kind", pa.string()),
        ("parameters", pa.string()),
        ("text", pa.string()),
    ]
)
Mapper = Callable[[Callable[[list[Clip]], int], list[list[Clip]]], Iterable[int]]


@dataclass(frozen=True)
class RenderedCorpus:
    """Where the corpus lies: the manifest of all tracks, and the true labels of the evaluation tracks."""

    manifest_path: str
    labels_path: str


def render_corpus(
    folder: str | os.PathLike[str],
    seed: int = 42,
    *,
    sizes: Sizes | None = None,
    scale: float = 1.0,
    system: bool = True,
    workers: int | None = None,
    mapper: Mapper | None = None,
) -> RenderedCorpus:
    """Speech of known and unknown algorithms under `folder`, a manifest of all of it, labels for evaluation.

    Writes `folder/speech/<track>.flac` (16 kHz, mono, 16 bit), `folder/labels.parquet` (evaluation tracks, columns
    `LABELS`) and `folder/manifest.parquet` (split 'train' or 'eval'; label, speaker, generator and text are null in
    the latter). A file is written whole or not at all and the manifest last: after an interruption the same call goes
    on where it stopped. A seed fixes every sample.

    Args:
        folder: local path or URI.
        seed: of sentences, voices, copies and perturbations.
        sizes: clips of each generator; None for `Sizes()`.
        scale: factor on `sizes`.
        system: flite, festival and codec2 join the unknown algorithms where they are installed.
        workers: processes; None for one a core, 1 for the caller's own.
        mapper: applies a picklable function to a list of jobs, in any order, in place of the process pool.

    Raises:
        UsageError: packages of the extra `quickstart` are missing, or `scale` is out of range.
        WorkError: a synthesizer failed, or a process of the pool was killed.
    """
    require_packages()
    folder = _absolute(os.fspath(folder))
    speech = storage.join(folder, "speech")
    clips = plan(seed, (sizes or Sizes()).scaled(scale), available(system))
    storage.make_dirs(speech)
    there = {name for name, size in storage.list_files(speech, recursive=False) if size}
    missing = [clip for clip in clips if f"{clip.track}.flac" not in there]
    log.info("rendering %d of %d clips, %d are there", len(missing), len(clips), len(clips) - len(missing))
    render = partial(render_clips, speech)
    todo = jobs(missing)
    _log_progress(mapper(render, todo) if mapper else in_processes(render, todo, workers or cores()), len(missing))
    labels_path, manifest_path = storage.join(folder, "labels.parquet"), storage.join(folder, "manifest.parquet")
    storage.write_table(labels_path, pa.Table.from_pylist([_truth(c) for c in clips if _is_eval(c)], schema=LABELS))
    manifest.write(manifest_path, manifest.build([_row(c, speech) for c in clips], CLASSES))
    return RenderedCorpus(manifest_path, labels_path)


def _absolute(folder: str) -> str:
    return folder if storage.is_uri(folder) else os.path.abspath(os.path.expanduser(folder))


def _log_progress(counts: Iterable[int], total: int) -> None:
    done, shown = 0, time.monotonic()
    for count in counts:
        done += count
        if done == total or time.monotonic() - shown > 10:
            shown = time.monotonic()
            log.info("rendered %d of %d clips", done, total)


def _is_eval(clip: Clip) -> bool:
    return clip.utterance.split == "eval"


def _row(clip: Clip, speech: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "track": clip.track,
        "path": storage.join(speech, f"{clip.track}.flac"),
        "source": SOURCE,
        "split": clip.utterance.split,
    }
    if not _is_eval(clip):
        row |= {"label": clip.label, "speaker": clip.utterance.voice, "generator": clip.generator}
        row |= {"text": clip.utterance.text}
    return row


def _truth(clip: Clip) -> dict[str, Any]:
    done = perturbation(clip)
    return {
        "track": clip.track,
        "label": clip.label,
        "generator": clip.generator,
        "speaker": clip.utterance.voice,
        "perturbation": clip.utterance.level,
        "kind": done.kind,
        "parameters": json.dumps(done.parameters),
        "text": clip.utterance.text,
    }
