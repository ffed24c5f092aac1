"""Which layouts lie in a folder: by the tables it holds, never by what the folders are called."""

from types import ModuleType

from synatt.datasets import librispeech, ljspeech, protocol, spcup, synthetic, vctk
from synatt.datasets.external import metadata_folders, metadata_path
from synatt.datasets.listing import Folder, LayoutError

# The layouts that one `metadata.csv` stands for; each knows its own header.
EXTERNAL: dict[str, ModuleType] = {
    "ljspeech": ljspeech,
    "vctk": vctk,
    "librispeech": librispeech,
    "synthetic": synthetic,
}


def detect(folder: Folder) -> list[tuple[str, Folder]]:
    """``(layout, its folder)`` for everything recognised at or below `folder`.

    Layouts are those of `synatt.datasets.LAYOUTS`; a published set of protocols is ``protocol:<preset>``. A folder of
    audio without any table known is one plain `folder`.

    Raises:
        LayoutError: there is no audio, or a `metadata.csv` beside `wavs/` has a header that no layout knows.
    """
    if not folder.audio:
        raise LayoutError(f"{folder.root} holds no audio; it holds {folder.top()}")
    found: list[tuple[str, Folder]] = []
    for sub, columns in metadata_folders(folder):
        names = [name for name, module in EXTERNAL.items() if module.recognises(columns)]
        here = folder.below(sub)
        if names:
            found.append((names[0], here))
        elif any(f.startswith("wavs/") for f in here.files):
            raise LayoutError(
                f"{metadata_path(here)} has columns {', '.join(columns) or 'none'}; known are {_known_headers()}"
            )
    if spcup.label_tables(folder):
        found.append(("spcup", folder))
    for preset in protocol.PRESETS:
        if protocol.preset_files(preset, folder):
            found.append((f"protocol:{preset}", folder))
    return found or [("folder", folder)]


def find(layout: str, folder: Folder) -> list[Folder]:
    """The folders at or below `folder` that hold a set of the layout asked for.

    Raises:
        LayoutError: there is none.
    """
    if layout == "spcup":
        if spcup.label_tables(folder):
            return [folder]
        raise LayoutError(
            f"{folder.root} holds no labels.csv or labels_eval_part<N>.csv (layout spcup); it holds {folder.top()}"
        )
    if layout not in EXTERNAL:
        return [folder]
    found = metadata_folders(folder)
    if any(sub == "" for sub, _ in found):
        return [folder]  # read() says which column is missing
    fits = [folder.below(sub) for sub, columns in found if EXTERNAL[layout].recognises(columns)]
    if not fits:
        needed = ",".join(EXTERNAL[layout].COLUMNS)
        raise LayoutError(
            f"{folder.root} holds no metadata.csv with columns {needed} (layout {layout}); it holds {folder.top()}"
        )
    return fits


def _known_headers() -> str:
    return "; ".join(f"{name}: {','.join(module.COLUMNS)}" for name, module in EXTERNAL.items())
