"""Augmentation of log-mels ``[B, M, T]`` in dB."""

import numpy as np
import torch

from synatt.augment.draw import chosen
from synatt.recipe import Augment


def augment_spectrogram(logmel_BMT: torch.Tensor, settings: Augment, rng: np.random.Generator) -> torch.Tensor:
    """One frequency and one time mask, then JPEG compression, each with its own probability inside the group's."""
    device = logmel_BMT.device
    group_B = chosen(rng, len(logmel_BMT), settings.group_p, device)
    masked_B = group_B & chosen(rng, len(logmel_BMT), settings.mask_p, device)
    logmel_BMT = mask(logmel_BMT, masked_B, settings.freq_mask_bins, settings.time_mask_frames, rng)
    if settings.jpeg_p:
        packed_B = group_B & chosen(rng, len(logmel_BMT), settings.jpeg_p, device)
        logmel_BMT = jpeg(logmel_BMT, packed_B, settings.jpeg_quality, rng)
    return logmel_BMT


def mask(
    logmel_BMT: torch.Tensor, which_B: torch.Tensor, max_bins: int, max_frames: int, rng: np.random.Generator
) -> torch.Tensor:
    """Silence up to `max_bins` neighbouring mel bins and up to `max_frames` frames of the clips in `which_B`.

    Widths are uniform from 0 to the maximum (SpecAugment, Park et al. 2019); the fill is the clip's own minimum.
    """
    bins_BM = _span(logmel_BMT, 1, max_bins, rng)
    frames_BT = _span(logmel_BMT, 2, max_frames, rng)
    hidden_BMT = (bins_BM[:, :, None] | frames_BT[:, None, :]) & which_B[:, None, None]
    return torch.where(hidden_BMT, logmel_BMT.amin(dim=(1, 2), keepdim=True), logmel_BMT)


def _span(logmel_BMT: torch.Tensor, axis: int, most: int, rng: np.random.Generator) -> torch.Tensor:
    """bool ``[B, size of axis]``: one run of true per clip, of a width uniform in 0..most."""
    count, size = len(logmel_BMT), logmel_BMT.shape[axis]
    width = rng.integers(0, min(most, size) + 1, count)
    start = rng.integers(0, size - width + 1)
    place = np.arange(size)[None]
    inside = (place >= start[:, None]) & (place < (start + width)[:, None])
    return torch.from_numpy(inside).to(logmel_BMT.device)


def jpeg(
    logmel_BMT: torch.Tensor, which_B: torch.Tensor, quality: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    """Pass the clips in `which_B` through a JPEG codec as 8-bit grey images spanning each clip's own range."""
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg  # some seconds, which only training should pay

    quality_B = rng.integers(quality[0], quality[1] + 1, len(logmel_BMT))
    rows = which_B.nonzero()[:, 0]
    if not len(rows):
        return logmel_BMT
    low = logmel_BMT.amin(dim=(1, 2), keepdim=True)[rows]
    span = (logmel_BMT.amax(dim=(1, 2), keepdim=True)[rows] - low).clamp_min(1e-6)
    grey = ((logmel_BMT[rows] - low) / span * 255).round().to(torch.uint8).cpu()
    packed = [encode_jpeg(image[None], int(quality_B[row])) for image, row in zip(grey, rows.tolist(), strict=True)]
    # Quality differs per clip, so encoding is one call a clip; libjpeg takes some 0.2 ms each.
    seen = torch.stack([decode_jpeg(data, ImageReadMode.GRAY)[0] for data in packed])
    out = logmel_BMT.clone()
    out[rows] = seen.to(logmel_BMT) / 255 * span + low
    return out
