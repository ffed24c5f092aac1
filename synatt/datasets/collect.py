"""All inputs -> one manifest: layouts found, classes agreed, tracks unique over all sets, folds drawn."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from synatt import folds, storage
from synatt.constants import UNKNOWN
from synatt.datasets import LAYOUTS, SHARED_SOURCES, protocol
from synatt.datasets import folder as plain
from synatt.datasets.common import PROBLEM_COLUMNS, ROW_COLUMNS, Found, drop_duplicates, join_frames, problem
from synatt.datasets.detect import EXTERNAL, detect, find
from synatt.datasets.listing import Folder, LayoutError, base_name, open_folder
from synatt.datasets.metadata import with_metadata
from synatt.datasets.options import Options
from synatt.datasets.spcup import CLASSES
from synatt.datasets.spcup import read as read_spcup
from synatt.errors import UsageError
from synatt.manifest import COLUMNS, PROBLEMS, Manifest, build
from synatt.manifest import write as write_manifest

log = logging.getLogger("synatt")

# Labels are int8.
MAX_CLASSES = 127


class ClassesError(UsageError):
    """The class names are unusable, or the inputs disagree on them."""


class ProblemsError(UsageError):
    """The input has problems and was asked to have none, or nothing but problems."""


@dataclass(frozen=True)
class Collected:
    """The manifest of all inputs (None when no row is usable), and the `problems` table."""

    manifest: Manifest | None
    problems: pa.Table


def collect(inputs: Sequence[str], layouts: Sequence[str], options: Options) -> Collected:
    """Read all inputs; nothing is written. Arguments and errors as in `synatt.datasets.prepare`."""
    options = _checked(options)
    if len(layouts) not in (1, len(inputs)):
        raise LayoutError(f"{len(layouts)} layouts for {len(inputs)} inputs: give one for all, or one for each")
    for layout in layouts:
        if layout not in ("auto", *LAYOUTS):
            raise LayoutError(f"no layout {layout!r}; there are auto, {', '.join(LAYOUTS)}")
    folders = [open_folder(path) for path in inputs]
    chosen = list(layouts) * (len(inputs) if len(layouts) == 1 else 1)
    names = plain.source_names([f.root for f in folders])
    found: list[Found] = []
    problems: list[pd.DataFrame] = []
    for here, layout, name in zip(folders, chosen, names, strict=True):
        pairs = _pairs(here, layout, options)
        mine = [_read(kind, sub, options, name) for kind, sub in pairs]
        log.info("%s: %s", here.root, ", ".join(f"{kind} in {sub.root}" for kind, sub in pairs))
        found += mine
        problems.append(_unnamable(here))
        if layout == "auto":
            problems.append(_unclaimed(here, mine))
    _check_unknown_names(folders, options)
    classes = _agree(found, options)
    rows, repeated = _merge(found)
    table = join_frames([*problems, *(f.problems for f in found), repeated], PROBLEM_COLUMNS)
    order = table.sort_values(["kind", "track", "path"], kind="stable") if len(table) else table
    problem_table = pa.Table.from_pandas(order, schema=PROBLEMS, preserve_index=False)
    if rows.empty:
        return Collected(None, problem_table)
    manifest = _manifest(rows, found, classes, options)
    if options.metadata:
        before = manifest
        manifest, spoken = with_metadata(manifest, options.metadata)
        log.info("metadata speaks of %d of %d tracks", spoken, len(manifest))
        manifest = _voices_apart(manifest, before, rows["set"].to_numpy(), found, options)
    return Collected(manifest, problem_table)


def write(collected: Collected, output: str, strict: bool) -> str:
    """Write both tables below `output`, log what is in them, and return the manifest's path.

    Raises:
        ProblemsError: `strict` and there are problems, or no row is usable; only the problems are written then.
    """
    problems_path = storage.join(output, "problems.parquet")
    storage.write_table(problems_path, collected.problems)
    told = describe_problems(collected.problems)
    if collected.manifest is None:
        raise ProblemsError(f"no usable track: {told or 'the tables are empty'}; see {problems_path}")
    if strict and told:
        raise ProblemsError(f"--strict: {told}; see {problems_path}")
    path = storage.join(output, "manifest.parquet")
    write_manifest(path, collected.manifest)
    for line in summary(collected.manifest):
        log.info("%s", line)
    if told:
        log.warning("dropped: %s; see %s", told, problems_path)
    return path


def describe_problems(problems: pa.Table, names: int = 3) -> str:
    """Each kind with its count and the first few names, in one line; '' when there is none."""
    parts = []
    for kind, rows in problems.to_pandas().groupby("kind", sort=True):
        shown = [str(name) for name in rows["track"].fillna(rows["path"])[:names]]
        more = ", ..." if len(rows) > names else ""
        parts.append(f"{len(rows)} {kind} ({', '.join(shown)}{more})")
    return ", ".join(parts)


def summary(manifest: Manifest) -> list[str]:
    """Row counts by source, split and class, one line for each source and split."""
    frame = manifest.table.select(["source", "split", "label"]).to_pandas()
    classes = manifest.classes or ()
    lines = [f"{len(frame)} tracks, classes: {', '.join(classes) or 'none (unlabelled)'}"]
    for (source, split), rows in frame.groupby(["source", "split"], sort=True, dropna=False):
        counts = rows["label"].dropna().astype(int).value_counts().sort_index()
        by_class = ", ".join(f"{classes[i]} {n}" for i, n in counts.items()) or "no labels"
        lines.append(f"  {source} ({split}): {len(rows)} tracks: {by_class}")
    return lines


def _checked(options: Options) -> Options:
    for source, share in options.shares.items():
        if source not in SHARED_SOURCES:
            raise LayoutError(f"--share {source}: only {', '.join(SHARED_SOURCES)} are used in part")
        if not 0 <= share <= 1:
            raise LayoutError(f"--share {source}={share}: a share is 0 to 1")
    if options.folds < 2:
        raise LayoutError(f"--folds {options.folds}: two or more are needed")
    preset = options.protocol.preset
    if preset is not None and preset not in protocol.PRESETS:
        raise LayoutError(f"no preset {preset!r}; there are {', '.join(protocol.PRESETS)}")
    if options.classes is None:
        return options
    names = tuple(name for name in options.classes if name != UNKNOWN)
    if not all(names) or len(set(names)) < len(names) or not names:
        raise ClassesError(f"--classes {','.join(options.classes)}: one or more different names are needed")
    if UNKNOWN in options.classes[:-1]:
        raise ClassesError(f"--classes {','.join(options.classes)}: '{UNKNOWN}' is the last class")
    return replace(options, classes=(*names, UNKNOWN))


def _pairs(here: Folder, layout: str, options: Options) -> list[tuple[str, Folder]]:
    if layout != "auto":
        return [(layout, sub) for sub in find(layout, here)]
    asked = options.protocol
    return [("protocol", here)] if asked.files or asked.preset else detect(here)


def _read(kind: str, here: Folder, options: Options, name: str) -> Found:
    if kind in EXTERNAL:
        return EXTERNAL[kind].read(here, options)
    if kind == "spcup":
        return read_spcup(here, options)
    if kind == "folder":
        return plain.read(here, options, name)
    preset = kind.partition(":")[2]
    if preset:
        options = replace(options, protocol=replace(options.protocol, preset=preset))
    return protocol.read(here, options)


def _unnamable(here: Folder) -> pd.DataFrame:
    names = pd.Series(here.unnamable, dtype="object")
    return problem("name_not_utf8", names, here.root, "the file name is not UTF-8: rename the file")


def _unclaimed(here: Folder, found: list[Found]) -> pd.DataFrame:
    """Audio that belongs to none of the sets recognised."""
    claimed = [root.rstrip("/") for f in found for root in f.claimed]
    if here.root.rstrip("/") in claimed:
        return join_frames([], PROBLEM_COLUMNS)
    inside = {(r.partition("?")[0] if storage.is_uri(r) else r) + "/" for r in claimed}
    paths = here.paths(pd.Series(here.audio, dtype="object"))
    loose = paths[~paths.str.startswith(tuple(inside))] if inside else paths
    return problem("file_without_label", base_name(loose), loose, "belongs to no set with a label table")


def _check_unknown_names(folders: list[Folder], options: Options) -> None:
    there = {name for f in folders for name in plain.class_folders(f)}
    strange = [name for name in options.unknown if name not in there]
    if strange:
        raise LayoutError(f"--unknown {strange[0]}: no such sub-folder; there are {', '.join(sorted(there)) or 'none'}")


def _agree(found: list[Found], options: Options) -> tuple[str, ...] | None:
    """The classes of all sets; without any of its own, external speech belongs to the SP Cup's classes."""
    named = list(dict.fromkeys(f.classes for f in found if f.classes is not None))
    if len(named) > 1:
        raise ClassesError(
            f"the inputs disagree on the classes: {' / '.join(', '.join(c) for c in named)}; say which by --classes"
        )
    labelled = any(f.rows["algorithm"].notna().any() for f in found)
    classes = options.classes or (named[0] if named else CLASSES if labelled else None)
    if classes and len(classes) > MAX_CLASSES:
        raise ClassesError(
            f"{len(classes)} classes: no more than {MAX_CLASSES} fit a label (the first is {classes[0]})"
        )
    return classes


def _merge(found: list[Found]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of all sets with the number of their `set`, each track and file once over all of them."""
    numbered = [f.rows.assign(set=i) for i, f in enumerate(found)]
    return drop_duplicates(join_frames(numbered, [*ROW_COLUMNS, "set"]))


def _manifest(rows: pd.DataFrame, found: list[Found], classes: tuple[str, ...] | None, options: Options) -> Manifest:
    index = {name: i for i, name in enumerate(classes or ())}
    label = rows["algorithm"].map(index)
    fold = np.full(len(rows), -1, dtype=np.int8)
    training = ((rows["split"] == "train") & label.notna()).to_numpy()
    for number, one in enumerate(found):
        mine = training & (rows["set"] == number).to_numpy()
        if mine.any():
            fold[mine] = _folds(rows[mine], one.rule, options)
    table = rows.assign(label=label.astype("Int8"), fold=pd.Series(fold, index=rows.index, dtype="Int8"))
    table["fold"] = table["fold"].where(table["fold"] >= 0, pd.NA)
    table["part"] = table["part"].astype("Int8")
    for name, kind in COLUMNS.items():
        if pa.types.is_string(kind):
            table[name] = table[name].astype("object").where(table[name].notna(), None)
    return build(table[list(COLUMNS)], classes)


def _voices_apart(
    manifest: Manifest, before: Manifest, sets: np.ndarray, found: list[Found], options: Options
) -> Manifest:
    """`manifest` with the folds of a set drawn by speaker where metadata has named some that its layout did not know.

    Sets whose rule groups by something of their own keep their folds.

    Args:
        before: the same rows without the metadata.
        sets: number of each row's set in `found`.
    """
    now = manifest.table.select(["label", "speaker", "track", "fold"]).to_pandas(
        types_mapper={pa.int8(): pd.Int8Dtype()}.get
    )
    named = (now["speaker"].notna() & pd.Series(before.column("speaker")).isna()).to_numpy()
    for number, one in enumerate(found):
        mine = (sets == number) & now["fold"].notna().to_numpy()
        if one.rule in ("stratified", "speaker") and (mine & named).any():
            label, speaker, track = (now[name][mine].to_numpy() for name in ("label", "speaker", "track"))
            now.loc[mine, "fold"] = folds.by_speaker(label.astype(int), speaker, track, options.folds, options.seed)
    at = manifest.table.column_names.index("fold")
    fold = pa.array(now["fold"], pa.int8(), from_pandas=True)
    return build(manifest.table.set_column(at, "fold", fold).replace_schema_metadata(None), manifest.classes)


def _folds(rows: pd.DataFrame, rule: str, options: Options) -> np.ndarray:
    keys = rows["track"].to_numpy()
    own = pd.Series(rows["track"].to_numpy(), index=rows.index)
    groups = rows["group"].where(rows["group"].notna(), own).to_numpy()  # a track of no known speaker is its own group
    strata = rows["stratum"].where(rows["stratum"].notna(), "").to_numpy()
    if rule == "stratified":
        return folds.stratified(strata, keys, options.folds, options.seed)
    if rule == "grouped":
        return folds.grouped(groups, keys, options.folds, options.seed)
    if rule == "stratified_grouped":
        return folds.stratified_grouped(strata, groups, keys, options.folds, options.seed)
    return folds.by_speaker(rows["algorithm"].to_numpy(), rows["speaker"].to_numpy(), keys, options.folds, options.seed)
