"""Rooms: simulated impulse responses (image sources and a diffuse tail), or recorded ones.

Image sources come from pyroomacoustics, whose C++ core gives a response of order 8 in some milliseconds. Higher
orders cost seconds for long reverberation; what they would add is diffuse, and is modelled as decaying noise from the
moment the image sources are no longer complete (Lehmann and Johansson 2010, 'Diffuse reverberation model for efficient
image-source simulation of room impulse responses').
"""

import numpy as np

from synatt.constants import RATE_HZ
from synatt.perturb.materials import NOTHING, Materials, pick, recording, short
from synatt.perturb.signal import Parameters, at_power, between, convolved, limit, power

RT60_S = {"weak": (0.15, 0.35), "medium": (0.3, 0.7), "strong": (0.5, 1.2)}
DISTANCE_M = {"weak": (0.3, 1.0), "medium": (0.6, 2.0), "strong": (1.0, 4.0)}
# Length, width and height; a short reverberation needs a small room.
SIZE_M = {"weak": ((2.5, 5.0), (2.5, 4.0), (2.3, 2.8)), "medium": ((3.0, 7.0), (3.0, 6.0), (2.4, 3.2))}
SIZE_M["strong"] = ((5.0, 12.0), (4.0, 10.0), (2.5, 4.5))
ORDER, SOUND_M_S = 8, 343.0
RECORDED_SHARE = 0.5


def draw(level: str, rng: np.random.Generator, materials: Materials = NOTHING) -> Parameters:
    """`room` 'simulated' with its `rt60_s`, `distance_m` and size in metres, or the name of a recorded response.

    RT60 is uniform in 0.15-0.35 s (weak), 0.3-0.7 (medium), 0.5-1.2 (strong); the microphone stands 0.3-1, 0.6-2 or
    1-4 m away. Where there are recorded rooms, every other one is recorded, whatever the level.
    """
    if materials.rooms and rng.random() < RECORDED_SHARE:
        return {"room": short(materials.rooms[int(rng.integers(len(materials.rooms)))])}
    long, wide, high = (between(rng, bounds) for bounds in SIZE_M[level])
    values = {"rt60_s": between(rng, RT60_S[level]), "distance_m": between(rng, DISTANCE_M[level])}
    return {"room": "simulated", **values, "length_m": long, "width_m": wide, "height_m": high}


def apply(
    wave: np.ndarray, rng: np.random.Generator, materials: Materials = NOTHING, *, room: str, **simulated: float
) -> np.ndarray:
    """`wave` in the room, not moved in time, and brought back to its own mean power."""
    response = simulate(rng, **simulated) if room == "simulated" else _recorded(pick(materials.rooms, room))
    return limit(at_power(convolved(wave, response), power(wave)))


def simulate(
    rng: np.random.Generator, rt60_s: float, distance_m: float, length_m: float, width_m: float, height_m: float
) -> np.ndarray:
    """float64 impulse response of a shoebox room, from the direct sound at sample 0 to a fall of 60 dB.

    The direct sound has the level 1, spread over two samples where it arrives between them.

    Walls absorb as Sabine's formula wants it for `rt60_s`. The tail has the energy that a diffuse field has against
    the direct sound, (distance / critical distance)^2 with 0.057 sqrt(V / RT60) m as the critical distance (Kuttruff,
    'Room acoustics', 5.1), of which what comes after the image sources is left.
    """
    import pyroomacoustics as pra

    size = np.array([length_m, width_m, height_m])
    source, ear = _places(size, distance_m, rng)
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    # A room too large for so short a reverberation gets walls that swallow nearly all.
    absorption = min(0.161 * size.prod() / (surface * rt60_s), 0.95)
    box = pra.ShoeBox(size, fs=RATE_HZ, materials=pra.Material(absorption), max_order=ORDER)
    box.add_source(source)
    box.add_microphone(ear)
    box.compute_rir()
    apart_m = float(np.linalg.norm(ear - source))
    arrival = round(apart_m / pra.constants.get("c") * RATE_HZ) + pra.constants.get("frac_delay_length") // 2
    early = np.asarray(box.rir[0][0], dtype=np.float64)[arrival:] * apart_m
    samples = round(rt60_s * RATE_HZ)
    time_s = np.arange(samples) / RATE_HZ
    # No image of a higher order than ORDER arrives before sound has crossed the room's lowest dimension so often.
    mixing = min(round(ORDER * size.min() / SOUND_M_S * RATE_HZ), samples // 2, len(early))
    tail = rng.standard_normal(samples) * 10 ** (-3 * time_s / rt60_s)
    tail[:mixing] = 0.0
    critical_m = 0.057 * np.sqrt(size.prod() / rt60_s)
    left = 10 ** (-6 * mixing / RATE_HZ / rt60_s)
    tail *= np.sqrt((apart_m / critical_m) ** 2 * left / max(float(np.sum(tail**2)), 1e-20))
    tail[:mixing] += early[:mixing]
    return tail


def _places(size: np.ndarray, distance_m: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(source, microphone) `distance_m` apart or as far as the room lets them, 0.3 m from every wall."""
    inside = size - 0.6
    source = 0.3 + rng.random(3) * inside
    way = rng.standard_normal(3) * (1.0, 1.0, 0.3)  # people and microphones stand at about one height
    way /= np.linalg.norm(way)
    # Reflected at the walls of the inner box: the place stays inside whatever the distance.
    folded = np.mod(source - 0.3 + way * distance_m, 2 * inside)
    ear = 0.3 + np.minimum(folded, 2 * inside - folded)
    if np.linalg.norm(ear - source) < 0.1:
        ear = 0.3 + np.mod(source - 0.3 + 0.5 * inside, inside)
    return source, ear


def _recorded(path: str) -> np.ndarray:
    response = recording(path).astype(np.float64)
    return response[int(np.argmax(np.abs(response))) :]
