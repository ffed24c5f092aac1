"""ASVspoof-style protocol files: one line a track, fields in a stated order, and the audio somewhere below a folder.

The class of a track is its attack where that is a known class, else 'unknown'; bona fide speech is 'unknown', for no
known algorithm made it. Presets give the field order of published sets:

- `asvspoof2019-la`: ``speaker file - attack key`` ("3. Protocols" of README.LA.txt in the database;
  ``LA_0039 LA_E_2834763 - A11 spoof``). Attacks A01-A06 are those of its training and development sets.
- `asvspoof2021-la`, `asvspoof2021-df`: `keys/{LA,DF}/CM/trial_metadata.txt`, ``speaker file codec channel attack key
  trim subset ...`` (the evaluation package, github.com/asvspoof-challenge/2021, eval-package;
  ``LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval``). They share 2019's training set, so its attacks are
  the known ones. Subset progress is split 'dev'; eval and hidden keep their names.
- `asvspoof5`: `ASVspoof5.train.tsv` and `.dev/.eval.track_1.tsv`, separated by blanks despite their name, ``speaker
  file gender codec codec_quality codec_seed attack_tag attack key -`` (README.txt of the database, Zenodo 14498691;
  ``D_0062 D_0000000001 F - - - AC1 A11 spoof -``). Attacks A01-A08 are those of its training set.
"""

import csv
import re
from dataclasses import dataclass

import pandas as pd

from synatt.constants import UNKNOWN
from synatt.datasets import tables
from synatt.datasets.common import (
    PROBLEM_COLUMNS,
    ROW_COLUMNS,
    Found,
    attach_files,
    drop_duplicates,
    join_frames,
    make_rows,
    problem,
)
from synatt.datasets.listing import Folder, LayoutError, below_wavs, match, without_suffix
from synatt.datasets.options import Options, ProtocolOptions

FIELDS = ("speaker", "file", "attack", "key", "split", "-")
BONAFIDE = ("bonafide", "bona-fide", "genuine", "human")
SPOOF = ("spoof", "spoofed", "fake")
NO_ATTACK = ("-", "")
SPLITS = ("train", "dev", "eval")


@dataclass(frozen=True)
class Preset:
    """A published set: its field order, which files are its protocols, and the attacks a model can know."""

    columns: tuple[str, ...]
    files: tuple[tuple[str, str | None], ...]  # (pattern of the relative path, split of all its rows or None)
    known: tuple[str, ...]


def _attacks(last: int) -> tuple[str, ...]:
    return tuple(f"A{i:02d}" for i in range(1, last + 1))


_TRIALS_2021 = ("speaker", "file", "-", "-", "attack", "key", "-", "split")
PRESETS = {
    "asvspoof2019-la": Preset(
        ("speaker", "file", "-", "attack", "key"),
        (
            (r"ASVspoof2019\.LA\.cm\.train\.trn\.txt", "train"),
            (r"ASVspoof2019\.LA\.cm\.dev\.trl\.txt", "dev"),
            (r"ASVspoof2019\.LA\.cm\.eval\.trl\.txt", "eval"),
        ),
        _attacks(6),
    ),
    "asvspoof2021-la": Preset(
        _TRIALS_2021, ((r"LA(?:-keys[^/]*)?/(?:[^/]+/)*CM/trial_metadata\.txt", None),), _attacks(6)
    ),
    "asvspoof2021-df": Preset(
        _TRIALS_2021, ((r"DF(?:-keys[^/]*)?/(?:[^/]+/)*CM/trial_metadata\.txt", None),), _attacks(6)
    ),
    "asvspoof5": Preset(
        ("speaker", "file", "-", "-", "-", "-", "-", "attack", "key"),
        (
            (r"ASVspoof5\.train\.tsv", "train"),
            (r"ASVspoof5\.dev\.track_1\.tsv", "dev"),
            (r"ASVspoof5\.eval\.track_1\.tsv", "eval"),
        ),
        _attacks(8),
    ),
}


def preset_files(name: str, folder: Folder) -> list[tuple[str, str | None]]:
    """``(path, split)`` of the protocol files of a preset below `folder`, those for which audio may lie there too."""
    patterns = [(re.compile(r"(?:.*/)?" + pattern), split) for pattern, split in PRESETS[name].files]
    return [(folder.path(f), split) for f in folder.files for pattern, split in patterns if pattern.fullmatch(f)]


def parse(
    text: str, path: str, columns: tuple[str, ...], separator: str, header: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The named fields of each line as text, and a `malformed_line` problem for each line with too few fields.

    Args:
        columns: field names in order; `-` is skipped, and so are fields past the last one.
        separator: 'blank', 'comma' (with CSV quoting), 'tab' or one character.

    Returns:
        (one column per named field, problems).
    """
    wanted = {name: i for i, name in enumerate(columns) if name != "-"}
    least = max(wanted.values()) + 1
    rows = [r for r in _split(text, separator)[1 if header else 0 :] if r[1]]
    good = [fields for _, fields in rows if len(fields) >= least]
    bad = [(number, fields) for number, fields in rows if len(fields) < least]
    table = pd.DataFrame({n: pd.Series([f[i] for f in good], dtype="object") for n, i in wanted.items()})
    problems = [
        problem("malformed_line", None, path, f"line {n} has {len(f)} fields, {least} are needed: {' '.join(f)[:80]}")
        for n, f in bad
    ]
    return table, join_frames(problems, PROBLEM_COLUMNS)


def _split(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """``(line number from 1, fields)``; the fields of a blank line are []."""
    rows = tables.lines(text)
    if separator == "blank":
        blanks = re.compile(r"[ \t]+")
        split = [blanks.split(line.strip(" \t")) if line.strip(" \t") else [] for line in rows]
    else:
        char = {"comma": ",", "tab": "\t"}.get(separator, separator)
        quoted = separator == "comma"
        try:
            split = list(csv.reader(rows, delimiter=char, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE))
        except csv.Error as err:
            raise tables.TableError(f"the protocol is not a readable table: {err}") from None
        split = [[] if not any(cell.strip() for cell in fields) else fields for fields in split]
    return list(enumerate(split, start=1))


def read(folder: Folder, options: Options) -> Found:
    """The tracks of all protocol files whose audio lies below `folder`.

    Raises:
        LayoutError: no protocol file was given or found, or the field order is not usable.
        TableError: a protocol file cannot be read.
    """
    asked = options.protocol
    columns, files = _columns(asked), _files(asked, folder)
    source = asked.preset or folder.name
    parsed = [_labelled(path, split, columns, asked) for path, split in files]
    labels = join_frames([table for table, _ in parsed], list(dict.fromkeys([*_named(columns), "split", "table"])))
    problems = [p for _, p in parsed]
    labels["track"] = source + "/" + without_suffix(below_wavs(labels["file"]))
    classes = _classes(labels, columns, options)
    audio = tuple(f for f in folder.audio if not asked.suffix or f.lower().endswith(asked.suffix.lower()))
    rows = []
    for path, group in labels.groupby("table", sort=False):
        mine = group.reset_index(drop=True)
        found, missing = attach_files(mine, mine["file"], folder, str(path), audio)
        problems.append(missing[missing["kind"] != "file_without_label"])
        rows.append(_rows(found, columns, source, classes, problems, str(path)))
    problems.append(_unlabelled_audio(labels["file"], folder, audio))
    kept, repeated = drop_duplicates(join_frames(rows, ROW_COLUMNS))
    return Found(kept, join_frames([*problems, repeated], PROBLEM_COLUMNS), classes, "speaker", (folder.root,))


def _columns(asked: ProtocolOptions) -> tuple[str, ...]:
    columns = asked.columns or (PRESETS[asked.preset].columns if asked.preset else None)
    if not columns:
        raise LayoutError(f"a protocol needs a field order: give --columns (of {', '.join(FIELDS)}) or --preset")
    strange = [c for c in columns if c not in FIELDS]
    if strange:
        raise LayoutError(f"--columns: {strange[0]!r} is not a field; fields are {', '.join(FIELDS)}")
    named = _named(columns)
    if len(set(named)) < len(named) or "file" not in named:
        raise LayoutError(f"--columns {','.join(columns)}: 'file' is needed, and no field may stand twice")
    if "key" in named and "attack" not in named:
        raise LayoutError("--columns has 'key' but no 'attack': bona fide or spoof alone does not name an algorithm")
    if asked.separator not in ("blank", "comma", "tab") and len(asked.separator) != 1:
        raise LayoutError(f"--separator {asked.separator!r}: blank, comma, tab or one character")
    return columns


def _named(columns: tuple[str, ...]) -> list[str]:
    return [c for c in columns if c != "-"]


def _files(asked: ProtocolOptions, folder: Folder) -> list[tuple[str, str | None]]:
    if asked.files:
        return [_named_split(f) for f in asked.files]
    if not asked.preset:
        raise LayoutError("layout protocol needs --protocol [SPLIT=]FILE, or --preset for a published set")
    found = preset_files(asked.preset, folder)
    if not found:
        patterns = ", ".join(pattern for pattern, _ in PRESETS[asked.preset].files)
        raise LayoutError(f"{folder.root} holds no protocol of {asked.preset} ({patterns}); give it by --protocol")
    return found


def _named_split(file: str) -> tuple[str, str | None]:
    split, mark, path = file.partition("=")
    return (path, split) if mark and split in SPLITS else (file, None)


def _labelled(
    path: str, split: str | None, columns: tuple[str, ...], asked: ProtocolOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    table, problems = parse(tables.read_text(path), path, columns, asked.separator, asked.header)
    by_name = next((s for pattern, s in _preset_patterns(asked.preset) if re.search(pattern, path)), None)
    given = split or by_name or "train"
    if "split" in table and not split:
        subset = table["split"].str.strip()
        table["split"] = subset.replace({"progress": "dev"}).where(subset != "", given)
    else:
        table["split"] = given
    return table.assign(table=path), problems


def _preset_patterns(preset: str | None) -> tuple[tuple[str, str | None], ...]:
    return PRESETS[preset].files if preset else ()


def _classes(labels: pd.DataFrame, columns: tuple[str, ...], options: Options) -> tuple[str, ...] | None:
    if "attack" not in columns:
        return None
    if options.classes:
        return options.classes
    if options.protocol.preset:
        return (*PRESETS[options.protocol.preset].known, UNKNOWN)
    spoofed = labels[(labels["split"] == "train") & ~_bonafide(labels) & ~labels["attack"].isin(NO_ATTACK)]
    if spoofed.empty:
        raise LayoutError("the protocol has no training rows to take classes from: give --classes A01,A02,...")
    return (*sorted(set(spoofed["attack"]) - {UNKNOWN}), UNKNOWN)


def _bonafide(labels: pd.DataFrame) -> pd.Series:
    column = labels["key"] if "key" in labels else labels["attack"]
    said = column.str.strip().str.lower()
    return said.isin(BONAFIDE) if "key" in labels else said.isin((*BONAFIDE, *NO_ATTACK))


def _rows(
    found: pd.DataFrame,
    columns: tuple[str, ...],
    source: str,
    classes: tuple[str, ...] | None,
    problems: list[pd.DataFrame],
    path: str,
) -> pd.DataFrame:
    """Rows of one protocol file; appends its `unknown_label` problems to `problems`."""
    algorithm: pd.Series | None = None
    generator: pd.Series | None = None
    if classes is not None:
        natural = _bonafide(found)
        attack = found["attack"].str.strip()
        wrong = ~natural & attack.isin(NO_ATTACK)
        if "key" in found:
            wrong |= ~natural & ~found["key"].str.strip().str.lower().isin(SPOOF)
            shown = found["attack"] + " " + found["key"]
        else:
            shown = found["attack"]
        detail = "'" + shown[wrong] + "' names neither an attack nor bona fide speech"
        problems.append(problem("unknown_label", found["track"][wrong], path, detail))
        found, natural, attack = found[~wrong], natural[~wrong], attack[~wrong]
        algorithm = attack.where(~natural & attack.isin(classes), UNKNOWN)
        generator = attack.where(~natural, None)
    speaker = found["speaker"].str.strip() if "speaker" in columns else None
    if speaker is not None:
        speaker = (source + "-" + speaker).where(~speaker.isin(NO_ATTACK), None)
    return make_rows(
        track=found["track"],
        path=found["path"],
        algorithm=algorithm,
        source=source,
        speaker=speaker,
        generator=generator,
        split=found["split"],
    )


def _unlabelled_audio(names: pd.Series, folder: Folder, audio: tuple[str, ...]) -> pd.DataFrame:
    """`file_without_label` for audio in a folder of which a protocol names at least one file.

    Other folders hold other subsets of the database, for which no protocol was asked.
    """
    fits = match(names, audio)
    named = fits.contended | set(fits.file.dropna())
    places = {f.rpartition("/")[0] for f in named}
    spare = pd.Series([f for f in audio if f not in named and f.rpartition("/")[0] in places], dtype="object")
    return problem("file_without_label", spare, folder.paths(spare), "not named in any protocol file")
