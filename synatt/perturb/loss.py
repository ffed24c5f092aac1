"""Lost packets of a call, in bursts, filled with silence or with what was heard before."""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.perturb.materials import NOTHING, Materials
from synatt.perturb.signal import Parameters, between

LOST = {"weak": (0.01, 0.03), "medium": (0.03, 0.08), "strong": (0.08, 0.2)}
PACKET = RATE_HZ // 50  # 20 ms, as in telephony
BURST = (1.0, 3.0)
FILLS = ("silence", "repeat")


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """`lost`, the share of packets (weak 1-3, medium 3-8, strong 8-20 %), the mean `burst` in packets, the `fill`."""
    fill = FILLS[int(rng.integers(len(FILLS)))]
    return {"lost": between(rng, LOST[level]), "burst": between(rng, BURST), "fill": fill}


def apply(
    wave: np.ndarray, rng: np.random.Generator, materials: Materials = NOTHING, *, lost: float, burst: float, fill: str
) -> np.ndarray:
    """`wave` without the lost packets of 20 ms: silence there, or the last packet that came, at half the level."""
    packets = -(-len(wave) // PACKET)
    gone = gilbert(packets, lost, burst, rng)
    out = np.pad(wave, (0, packets * PACKET - len(wave))).reshape(packets, PACKET).astype(np.float32)
    if fill == "repeat":
        came = np.maximum.accumulate(np.where(gone, 0, np.arange(packets)))
        out[gone] = 0.5 * out[came[gone]] * ~gone[came[gone]][:, None]
    else:
        out[gone] = 0.0
    return out.ravel()[: len(wave)]


def gilbert(packets: int, lost: float, burst: float, rng: np.random.Generator) -> np.ndarray:
    """bool ``[packets]``, true where lost: a chain of two states (Gilbert 1960) with this share and mean burst.

    At least one packet of several is lost, or a short clip would often stay as it is.
    """
    leave = 1 / burst
    enter = min(1.0, leave * lost / (1 - lost))
    gone, draws = np.zeros(packets, bool), rng.random(packets)
    state = draws[0] < lost if packets else False
    for i in range(packets):
        gone[i] = state
        state = draws[i] >= leave if state else draws[i] < enter
    if packets > 1 and not gone.any():
        gone[int(rng.integers(1, packets))] = True
    return gone
