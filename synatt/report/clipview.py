"""Explained clips -> what the page shows of them: spectrogram, heat maps, sound, and how much of that fits."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from synatt.constants import RATE_HZ
from synatt.ensemble import View
from synatt.examples import ASKED, MISTAKE, PAIR, RIGHT, UNCERTAIN
from synatt.explanations import Explained, Explanations
from synatt.flac import flac
from synatt.logmel import mel
from synatt.recipe import LogMel

# Pictures and sounds of a page together, as they stand in it (base64): what a mail or a browser still takes with ease.
MEDIA_BYTES = 12_000_000
HEAT_RGB, HEAT_OPACITY = (255, 122, 26), 0.75
# A heat map has few cells; more pixels than these hold nothing.
HEAT_SIZE = (96, 32)
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
FEWEST_PX = 14
PLOT_PX = 176
SHOWN_BARS = 8
TITLES = {
    ASKED: ("Asked for", ""),
    PAIR: ("Most frequent mix-ups, an example of each", "The most confident mistake of each pair."),
    MISTAKE: ("Wrong, and sure of it", "The most confident mistakes."),
    UNCERTAIN: ("Least certain", "The lowest confidence of all answers."),
    RIGHT: ("Right, and sure of it", "The most confident right answers of each class."),
}


@dataclass(frozen=True)
class ClipView:
    """One clip as the page shows it; what does not fit or cannot be had is None or empty, and `why_not` says why.

    Attributes:
        anchor: its id on the page.
        heats: (class name, what it is to the clip, picture as data URI).
        bars: (class name, probability, 'right', 'wrong' or '').
        spectrogram, audio: data URIs.
        ticks_hz, ticks_s: (label, share of the height from above, or of the width).
    """

    anchor: str
    track: str
    path: str
    truth: str | None
    answer: str | None
    confidence: float
    bars: list[tuple[str, float, str]]
    why_not: str | None = None
    heats: tuple[tuple[str, str, str], ...] = ()
    spectrogram: str | None = None
    audio: str | None = None
    no_audio: str | None = None
    ticks_hz: tuple[tuple[str, float], ...] = ()
    ticks_s: tuple[tuple[str, float], ...] = ()


class Budget:
    """Bytes that are left for pictures and sounds."""

    def __init__(self, left: int = MEDIA_BYTES) -> None:
        self.left = left

    def takes(self, *texts: str) -> bool:
        """Whether all `texts` together still fit; if so, they are taken off."""
        size = sum(map(len, texts))
        if size > self.left:
            return False
        self.left -= size
        return True


def sections(
    explanations: Explanations, classes: Sequence[str], confused: Sequence[dict[str, Any]], budget: Budget
) -> list[dict[str, Any]]:
    """The kinds of clips in the order of `TITLES`, each with `title`, `note` and `clips`.

    A clip is shown in full under the first kind it was chosen for; later ones only point there (`again` is true).

    Args:
        confused: rows of the table `most_confused`; a pair's clip carries its row as `pair`.
    """
    pairs = {(row["truth"], row["answer"]): row for row in confused}
    views: dict[int, ClipView] = {}
    out = []
    for kind, (title, note) in TITLES.items():
        shown = []
        for clip in (c for c in explanations.clips if kind in c.kinds):
            again = clip.row in views
            view = views.get(clip.row) or _view(clip, explanations, classes, budget)
            views[clip.row] = view
            pair = pairs.get((view.truth, view.answer)) if kind == PAIR else None
            shown.append({"view": view, "again": again, "pair": pair})
        if shown:
            out.append({"kind": kind, "title": title, "note": note, "clips": shown})
    return out


def _view(clip: Explained, explanations: Explanations, classes: Sequence[str], budget: Budget) -> ClipView:
    rows, row, view = explanations.rows, clip.row, explanations.view
    truth, answer = int(rows.truth[row]), int(rows.answer[row])
    about: dict[str, Any] = {
        "anchor": f"clip-{row}",
        "track": str(rows.track[row]),
        "path": str(rows.path[row] or ""),
        "truth": classes[truth] if truth >= 0 else None,
        "answer": classes[answer] if answer >= 0 else None,
        "confidence": float(rows.confidence[row]),
        "bars": _bars(rows.p[row], classes, truth, answer) if answer >= 0 else [],
    }
    if clip.why_not or view is None:
        return ClipView(**about, why_not=clip.why_not)
    settings = view.recipe.logmel
    # Normalised bands are no decibels under a maximum: they are shown over the range that they have.
    span = settings.top_db if settings.normalise == "none" else float(np.ptp(clip.logmel))
    picture = spectrogram_uri(clip.logmel, span)
    heats = [
        (classes[c], "the answer" if c == answer else "the true class", heat_uri(values))
        for c, values in clip.heat.items()
    ]
    if not budget.takes(picture, *(uri for _, _, uri in heats)):
        return ClipView(**about, why_not=f"the {MEDIA_BYTES / 1e6:.0f} MB for pictures and sounds are used up")
    sound: str | None = audio_uri(clip.wave)
    full = not budget.takes(sound or "")
    return ClipView(
        **about,
        heats=tuple(heats),
        spectrogram=picture,
        audio=None if full else sound,
        no_audio=f"the {MEDIA_BYTES / 1e6:.0f} MB for pictures and sounds are used up" if full else None,
        ticks_hz=tuple(frequency_ticks(settings)),
        ticks_s=tuple(time_ticks(view)),
    )


def _bars(p: np.ndarray, classes: Sequence[str], truth: int, answer: int) -> list[tuple[str, float, str]]:
    """The most probable classes, in their own order, and the true one among them."""
    most = np.argsort(-p, kind="stable")[:SHOWN_BARS].tolist()
    if truth >= 0 and truth not in most:
        most[-1] = truth
    kinds = {answer: "" if truth < 0 else "wrong", truth: "right"}
    return [(classes[i], float(p[i]), kinds.get(i, "other")) for i in sorted(most)]


def audio_uri(wave: np.ndarray) -> str:
    """float32 ``[S]`` at 16 kHz -> FLAC of 16 bits as a data URI, its peak at 0.9 of full scale."""
    return _uri("audio/flac", flac(wave * (0.9 / max(1e-9, float(np.abs(wave).max())))))


def spectrogram_uri(logmel_MT: np.ndarray, span: float) -> str:
    """dB -> a grey picture as a data URI, low frequencies below, black at `span` under the maximum."""
    shade = (logmel_MT - logmel_MT.max()) / max(span, 1e-6) + 1
    out = io.BytesIO()
    Image.fromarray((255 * np.clip(shade, 0, 1))[::-1].astype(np.uint8)).save(out, "JPEG", quality=80)
    return _uri("image/jpeg", out.getvalue())


def heat_uri(heat_MT: np.ndarray) -> str:
    """[0, 1] -> one colour of that opacity as a data URI, low frequencies below."""
    small = Image.fromarray(heat_MT[::-1].astype(np.float32)).resize(HEAT_SIZE, Image.Resampling.BOX)
    opacity = np.clip(np.asarray(small), 0, 1) * (255 * HEAT_OPACITY)
    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = HEAT_RGB, opacity
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return _uri("image/png", out.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def frequency_ticks(settings: LogMel) -> list[tuple[str, float]]:
    """(Hz, share of the height from above) of round frequencies, as far apart as their figures are high.

    The centre of mel bin i is the (i + 1)th of M + 2 places from the lowest frequency to the highest (`mel_matrix`).
    """
    low, high = float(mel(settings.f_min_hz)), float(mel(settings.f_max_hz))
    bins = settings.mel_bins
    out: list[tuple[str, float]] = []
    for hz in TICKS_HZ:
        at = (float(mel(hz)) - low) / (high - low) * (bins + 1) - 0.5  # bins from the lower edge of the lowest
        from_above = 1 - at / bins
        if -1 / bins <= from_above <= 1 and (not out or (out[-1][1] - from_above) * PLOT_PX >= FEWEST_PX):
            out.append((f"{hz / 1000:g}k" if hz >= 1000 else str(hz), max(0.0, from_above)))
    return out


def time_ticks(view: View) -> list[tuple[str, float]]:
    """(seconds, share of the width) of whole steps; frame t begins at t hops (`logmel_batch`)."""
    samples, frames = view.recipe.clip_samples, view.recipe.logmel.frames
    width_s = frames * (samples // (frames - 1)) / RATE_HZ
    step = next(s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0) if width_s / s <= 8 or s == 60.0)
    return [(f"{i * step:g}", i * step / width_s) for i in range(int(width_s / step + 1e-6) + 1)]
