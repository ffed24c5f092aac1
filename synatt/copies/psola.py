"""TD-PSOLA (Moulines and Charpentier 1990): periods cut out of the speech and laid down again at another pitch."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.copies import fit
from synatt.copies.world import FRAME_MS, f0_contour

UNVOICED_STEP = round(0.006 * RATE_HZ)


def copy(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same speech, as long as before, at 0.65-0.8 or 1.25-1.5 times its pitch."""
    factor = float(rng.uniform(1.25, 1.5)) ** float(rng.choice((-1.05, 1.0)))
    period = _period(wave)
    marks = _marks(wave, period)
    out = np.zeros(len(wave) + 2 * RATE_HZ // 10)
    at = float(marks[0])
    while at < len(wave):
        mark = int(marks[np.argmin(np.abs(marks - at))])
        step = period[mark]
        length = int(step) if step > 0 else UNVOICED_STEP
        lo, hi = max(0, mark - length), min(len(wave), mark + length)
        grain = wave[lo:hi] * np.hanning(2 * length + 1)[lo - mark + length : hi - mark + length]
        place = round(at) - (mark - lo)
        if place >= 0:
            out[place : place + len(grain)] += grain
        at += step / factor if step > 0 else UNVOICED_STEP
    return fit(out, len(wave))


def _period(wave: np.ndarray) -> np.ndarray:
    # float64 [samples]: the pitch period in samples, 0 where unvoiced.
    f0_hz, _ = f0_contour(wave)
    frame = np.minimum(np.arange(len(wave)) // round(FRAME_MS * RATE_HZ / 1000), len(f0_hz) - 1)
    sampled = f0_hz[frame]
    return np.where(sampled > 0, RATE_HZ / np.maximum(sampled, 1.0), 0.0)


def _marks(wave: np.ndarray, period: np.ndarray) -> np.ndarray:
    # One mark a period, each pulled to the highest sample near where the last one puts it.
    marks, at = [0], 0
    while True:
        step = period[at]
        if step == 0:
            at += UNVOICED_STEP
        else:
            near = max(1, int(0.2 * step))
            middle = at + int(step)
            lo, hi = max(at + 1, middle - near), min(len(wave), middle + near + 1)
            at = lo + int(np.argmax(wave[lo:hi])) if lo < hi else len(wave)
        if at >= len(wave):
            return np.asarray(marks)
        marks.append(at)
