"""What `--input` of a job may be: a manifest, a folder or bucket prefix of audio, or a single recording."""

from collections.abc import Sequence

from synatt import manifest, storage
from synatt.audio import AUDIO_SUFFIXES
from synatt.errors import UsageError
from synatt.manifest import MANIFEST_SUFFIXES, Manifest


def read_inputs(paths: Sequence[str], classes: tuple[str, ...] | None = None) -> Manifest:
    """The rows of all inputs as one manifest.

    A folder that holds `manifest.parquet` is that manifest; any other folder gives one unlabelled row per audio file
    below it, `track` being the path relative to the folder.

    Raises:
        UsageError: a path is missing, holds no audio, or two inputs name the same track.
    """
    if not paths:
        raise UsageError("nothing to read: give --input PATH")
    return manifest.concat([_read(path, classes) for path in paths])


def _read(path: str, classes: tuple[str, ...] | None) -> Manifest:
    if storage.is_dir(path):
        if storage.is_file(storage.join(path, "manifest.parquet")):
            return manifest.read(path, classes)
        return from_folder(path)
    if not storage.exists(path):
        raise UsageError(f"no such file or folder: {path}")
    if path.lower().endswith(MANIFEST_SUFFIXES):
        return manifest.read(path, classes)
    if path.lower().endswith(AUDIO_SUFFIXES):
        return manifest.build([{"track": path.rpartition("/")[2], "path": path}], None)
    raise UsageError(f"{path} is neither a manifest ({', '.join(MANIFEST_SUFFIXES)}), a folder nor audio")


def from_folder(folder: str) -> Manifest:
    """One unlabelled row per audio file below `folder`."""
    names = [name for name, _ in storage.list_files(folder) if name.lower().endswith(AUDIO_SUFFIXES)]
    if not names:
        raise UsageError(f"no audio below {folder} (looked for {', '.join(AUDIO_SUFFIXES)})")
    base = folder if storage.is_uri(folder) else storage.filesystem(folder)[1]
    return manifest.build([{"track": name, "path": storage.join(base, name)} for name in names], None)
