"""Cross-fitting of soft labels: a clip is answered by networks that were not taught its soft label.

A network repeats what its teachers said of a clip that it was trained on, their mistakes too; of clips of the same kind
that it was not trained on it says more than they did. So soft-labelled tracks are dealt into folds, each network is
trained once for each fold, without that fold's soft labels (cross-fitting, Chernozhukov et al. 2018), and keeps the
keys of the tracks it was taught.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def track_keys(tracks: Sequence[str]) -> np.ndarray:
    """int64 ``[N]``: the first 64 bits of each track's SHA-256, which have nothing to do with its name."""
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

    def among(self, tracks: Sequence[str]) -> np.ndarray:
        """bool ``[B]``: which of `tracks` it was taught."""
        key_B = track_keys(tracks)
        if not len(self):
            return np.zeros(len(key_B), bool)
        place_B = np.minimum(np.searchsorted(self.key_T, key_B), len(self) - 1)
        return np.asarray(self.key_T[place_B] == key_B)


def answering(taught_NB: np.ndarray) -> np.ndarray:
    """bool ``[N, B]``: which of N networks answer for which of B clips: those that were not taught it, else all."""
    return ~taught_NB | taught_NB.all(axis=0)
