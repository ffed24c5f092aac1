"""Cross-fitting of soft labels: a clip is answered by networks that were not taught its soft label.

A network repeats what its teachers said of a clip that it was trained on, their mistakes too; on clips of the same
kind that it was not trained on it is right more often than they were (README, Measured). So soft-labelled tracks are
dealt into folds, each network is trained once for each fold, without that fold's soft labels (cross-fitting,
Chernozhukov et al. 2018), and keeps the keys of the tracks it was taught.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def track_keys(tracks: Sequence[str]) -> np.ndarray:
    """int64 ``[N]``: the first 64 bits of each track's SHA-256; tracks with like names lie far apart."""
    digests = b"".join(hashlib.sha256(track.encode()).digest()[:8] for track in tracks)
    # Big-endian, so that their order is that of the digests.
    return np.frombuffer(digests, ">u8").astype(np.uint64).view(np.int64)


def soft_folds(tracks: Sequence[str], count: int) -> np.ndarray:
    """int64 ``[N]``: the fold of each track, dealt in turn by the order of their keys, whatever their own."""
    fold_N = np.empty(len(tracks), np.int64)
    fold_N[np.argsort(track_keys(tracks).view(np.uint64), kind="stable")] = np.arange(len(tracks)) % count
    return fold_N


class TaughtTracks:
    """The soft-labelled tracks that a network was trained on.

    Args:
        key_T: int64, from `track_keys`, in any order.
    """

    def __init__(self, key_T: np.ndarray) -> None:
        self.key_T = np.sort(key_T)

    @classmethod
    def of(cls, tracks: Sequence[str]) -> "TaughtTracks":
        return cls(track_keys(tracks))

    def __len__(self) -> int:
        return len(self.key_T)

    def among(self, key_B: np.ndarray) -> np.ndarray:
        """bool ``[B]``: which of the tracks with these int64 keys it was taught."""
        if not len(self):
            return np.zeros(len(key_B), bool)
        place_B = np.minimum(np.searchsorted(self.key_T, key_B), len(self) - 1)
        return np.asarray(self.key_T[place_B] == key_B)


def answering(networks: Sequence[TaughtTracks | None], tracks: Sequence[str]) -> np.ndarray:
    """bool ``[N, B]``: which of N networks answer for which of B tracks: those that were not taught it, else all.

    Args:
        networks: what each was taught; None: nothing.
    """
    taught_NB = np.zeros((len(networks), len(tracks)), bool)
    if any(networks):
        key_B = track_keys(tracks)
        for taught_B, taught in zip(taught_NB, networks, strict=True):
            if taught:
                taught_B[:] = taught.among(key_B)
    return ~taught_NB | taught_NB.all(axis=0)
