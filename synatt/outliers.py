"""Outliers: unknown speech made of known speech, so that training hears more ways of being unknown.

A training clip that went through a vocoder says the same words in the same voice, in the same room, and was made by
another algorithm: what tells it apart is what a vocoder leaves behind (outlier exposure, Hendrycks et al. 2019, with
copy synthesis as in vocoded data for anti-spoofing, Wang and Yamagishi 2023).
"""

import zlib
from collections.abc import Callable
from importlib import import_module, util

import numpy as np

from synatt import manifest
from synatt.constants import UNKNOWN
from synatt.errors import SynattError, UsageError
from synatt.manifest import Manifest
from synatt.recipe import Recipe

# Columns of the manifest: the vocoder that a row's recording goes through when it is decoded (null: none), and the
# track that the row was made of.
COPY, ORIGINAL = "copy", "original"
# Vocoder -> its function below synatt.copies. What an editor does to a voice (pitch, tempo) leaves the algorithm as it
# is and is not among them.
VOCODERS = {
    "channel": "channel:copy",
    "sine_wave": "sinewave:copy",
    "sinusoidal": "sinusoidal:copy",
    "mel_griffin_lim": "spectral:mel_griffin_lim",
    "world": "world:copy",
    "lpc": "source_filter:lpc",
    "mlsa": "source_filter:mlsa",
}
NEEDS = {"world": ("pyworld",), "lpc": ("pyworld", "diffsptk"), "mlsa": ("pyworld", "diffsptk")}


class CopyError(SynattError):
    """A recording could not be sent through a vocoder."""

    kind = "copy_failed"


def outlier_rows(rows: Manifest, recipe: Recipe) -> Manifest:
    """The outliers that `recipe` makes of training `rows`: rows of their own, labelled unknown, of the split 'outlier'.

    They are trained on and never judged. Each vocoder gets as many as any other, of the classes evenly; the seed
    decides of which recordings. A vocoder that is itself a known class (called `<vocoder>_copy`) is left out.

    Raises:
        UsageError: there is no class for unknown speech, or a vocoder's package is not installed.
    """
    settings, classes = recipe.outliers, recipe.require_classes()
    if not settings.share:
        return manifest.build([], classes)
    if UNKNOWN not in classes:
        raise UsageError(f"outliers.share: there is no class {UNKNOWN!r} for them among {', '.join(classes)}")
    kinds = [kind for kind in settings.kinds if f"{kind}_copy" not in classes]
    missing = sorted({name for kind in kinds for name in NEEDS.get(kind, ()) if util.find_spec(name) is None})
    if missing:
        raise UsageError(
            f"outliers need packages that are not installed ({', '.join(missing)}): add the extra 'vocoders', or leave "
            f"{', '.join(k for k in kinds if set(NEEDS.get(k, ())) & set(missing))} out of outliers.kinds"
        )
    tracks, paths = rows.column("track"), rows.column("path")
    label = manifest.targets(rows, len(classes)).argmax(axis=1)
    rng = np.random.default_rng([recipe.seed, *b"outliers"])
    made = []
    for kind in kinds:
        count = round(settings.share * len(rows) / len(kinds))
        for row in _drawn(label, count, rng):
            about = {"label": classes.index(UNKNOWN), "source": "outliers", "generator": f"{kind}_copy", COPY: kind}
            about |= {"track": f"{kind}:{tracks[row]}", "path": paths[row], ORIGINAL: tracks[row]}
            made.append({**about, "split": "outlier"})
    return manifest.build(made, classes)


def _drawn(label: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """`count` different rows, in turn of each class as long as it has any left."""
    queues = [list(rng.permutation(np.flatnonzero(label == c))) for c in np.unique(label)]
    drawn: list[int] = []
    while len(drawn) < count and any(queues):
        for queue in queues:
            if queue and len(drawn) < count:
                drawn.append(int(queue.pop()))
    return drawn


def make_copy(kind: str, wave: np.ndarray, track: str) -> np.ndarray:
    """float32 ``[S]``: `wave` at 16 kHz through a vocoder, at its old level, fixed by the track's name.

    Raises:
        CopyError: the vocoder cannot make anything of it.
    """
    module, _, name = VOCODERS[kind].partition(":")
    copy: Callable[[np.ndarray, np.random.Generator], np.ndarray] = getattr(
        import_module(f"synatt.copies.{module}"), name
    )
    try:
        made = copy(wave, np.random.default_rng([zlib.crc32(track.encode()), 2]))
    except Exception as err:
        # Vocoders of five libraries, on recordings of any length: whatever they raise costs this clip alone.
        raise CopyError(f"{kind}: {type(err).__name__}: {' '.join(str(err).split())[:150]}") from err
    peak = float(np.abs(made).max(initial=0.0))
    if not np.isfinite(made).all() or peak < 1e-6:
        raise CopyError(f"{kind}: nothing is left of the recording")
    # Rounded to 16 bits, as most recordings are: neither level nor rounding should tell what was made.
    steps = np.rint(made.astype(np.float64) * (32767 / 32768 * float(np.abs(wave).max()) / peak) * 32768)
    return (steps / 32768).astype(np.float32)
