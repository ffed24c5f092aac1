"""What a room, a microphone or steady noise adds to a band for the whole of a clip, taken out of its log-mel.

Not part of Syn-Att: `logmel.normalise` is `none` unless a recipe says otherwise.
"""

import math

import torch

# PCEN's gain, bias, power and what keeps it from dividing by nothing (Wang et al. 2017), and the seconds over which it
# forgets (librosa's).
GAIN, BIAS, POWER, TINY = 0.98, 2.0, 0.5, 1e-6
SECONDS = 0.4


def less_mean(db_BMT: torch.Tensor) -> torch.Tensor:
    """dB ``[B, M, T]`` less the mean of each band over the frames that are heard (cepstral mean subtraction's twin).

    Frames without a cell above the clip's floor, such as padding, are no part of the mean, and come out as the lowest
    value that is heard; a clip without any other frame comes out as zeros.
    """
    floor_B11 = db_BMT.amin(dim=(1, 2), keepdim=True)
    heard_B1T = (db_BMT > floor_B11).any(dim=1, keepdim=True)
    count_B11 = heard_B1T.sum(dim=2, keepdim=True).clamp_min(1)
    level_BMT = db_BMT - (db_BMT * heard_B1T).sum(dim=2, keepdim=True) / count_B11
    lowest_B11 = level_BMT.masked_fill(~heard_B1T, math.inf).amin(dim=(1, 2), keepdim=True)
    lowest_B11 = torch.where(torch.isfinite(lowest_B11), lowest_B11, 0.0)
    return torch.where(heard_B1T, level_BMT, lowest_B11)


def pcen(db_BMT: torch.Tensor, frame_s: float) -> torch.Tensor:
    """Per-channel energy normalisation of magnitudes in dB ``[B, M, T]``: no unit, 0 and above, same shape.

    (E / (TINY + M)^GAIN + BIAS)^POWER - BIAS^POWER, where M is E smoothed over time by one pole (Wang et al. 2017,
    equations 1 and 2); M begins at the first frame's E.

    Args:
        frame_s: seconds from one frame to the next.
    """
    from torchaudio.functional import lfilter  # only where it is asked for

    magnitude_BMT = 10.0 ** (db_BMT / 20.0)
    # The pole that forgets as fast as a moving average of SECONDS.
    frames = SECONDS / frame_s
    share = (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    forward = torch.tensor([share, 0.0], dtype=torch.float64, device=db_BMT.device)
    back = torch.tensor([1.0, share - 1.0], dtype=torch.float64, device=db_BMT.device)
    # The filter begins at zero; what it is given begins there too.
    first_BM1 = magnitude_BMT[..., :1]
    smooth_BMT = first_BM1 + lfilter((magnitude_BMT - first_BM1).double(), back, forward, clamp=False).to(db_BMT.dtype)
    ratio_BMT = magnitude_BMT / (TINY + smooth_BMT.clamp_min(0.0)) ** GAIN
    return (ratio_BMT + BIAS) ** POWER - BIAS**POWER
