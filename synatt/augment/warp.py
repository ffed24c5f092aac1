"""Other voices: the frequency axis of a log-mel stretched, as a vocal tract of another length would (VTLP)."""

import numpy as np
import torch

from synatt.augment.draw import chosen
from synatt.logmel import hz, mel
from synatt.recipe import Augment, LogMel


def augment_warp(logmel_BMT: torch.Tensor, settings: Augment, scale: LogMel, rng: np.random.Generator) -> torch.Tensor:
    """``[B, M, T]`` dB: clips warped with probability `warp_p`, by a factor uniform within `warp_most` of 1.

    Args:
        scale: of the mel bins.
    """
    if not settings.warp_p:
        return logmel_BMT
    which_B = chosen(rng, len(logmel_BMT), settings.warp_p, torch.device("cpu")).numpy()
    factor_B = np.where(which_B, rng.uniform(1 - settings.warp_most, 1 + settings.warp_most, len(which_B)), 1.0)
    return warp(logmel_BMT, factor_B, scale)


def warp(logmel_BMT: torch.Tensor, factor_B: np.ndarray, scale: LogMel) -> torch.Tensor:
    """``[B, M, T]`` dB with what was at f Hz at f x factor (Jaitly and Hinton 2013, without the bend at the top).

    Bins lie between two of the given ones and take of both; beyond the last the last is repeated.

    Args:
        factor_B: one a clip, above 0; 1 leaves it as it is.
        scale: of the mel bins.
    """
    bins = logmel_BMT.shape[1]
    edges = np.linspace(mel(scale.f_min_hz), mel(scale.f_max_hz), bins + 2)
    centre_hz = hz(edges[1:-1])
    taken_BM = (mel(centre_hz / factor_B[:, None]) - edges[0]) / (edges[1] - edges[0]) - 1
    taken_BM = np.clip(taken_BM, 0, bins - 1)
    lower_BM = np.minimum(taken_BM.astype(np.int64), max(bins - 2, 0))
    share_BM1 = torch.from_numpy((taken_BM - lower_BM).astype(np.float32)).to(logmel_BMT.device)[:, :, None]
    index_BMT = torch.from_numpy(lower_BM).to(logmel_BMT.device)[:, :, None].expand_as(logmel_BMT)
    below_BMT = logmel_BMT.gather(1, index_BMT)
    above_BMT = logmel_BMT.gather(1, (index_BMT + 1).clamp_max(bins - 1))
    return torch.lerp(below_BMT, above_BMT, share_BM1)
