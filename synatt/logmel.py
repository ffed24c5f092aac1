"""Waveform ``[B, S]`` -> log-mel spectrogram ``[B, M, T]`` in dB, the same code for training and prediction.

On a CPU it is made in blocks of frames that stay in the cache, each band from the bins it takes anything from; on a GPU
in few large operations.

Settings of Syn-Att: periodic Hann window as long as the FFT, frames from the first sample on with zeros after the
last, magnitude (not power), HTK mel triangles of height 1, 20 log10, at most 80 dB below the clip's own maximum.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from synatt.bandnorm import less_mean, pcen
from synatt.clip import fit, standardise
from synatt.constants import RATE_HZ
from synatt.recipe import LogMel, Recipe

# Magnitude below which the logarithm is taken as the floor; far under any clip's own 80 dB range.
TINY = 1e-10
SILENT_DB = 20 * math.log10(TINY)  # of silence, before it is lifted to the floor
# Frames that a CPU transforms at a time: their spectra stay in its cache until they are summed into bands.
BLOCK_FRAMES = 128
# Bands that are summed by one product: a band takes few of the spectrum's bins, and its neighbours nearly the same.
GROUP_BANDS = 16


def mel(hz: np.ndarray | float) -> np.ndarray:
    """mel = 1127 ln(1 + f / 700) (O'Shaughnessy; HTK book, section 5.4)."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def hz(mels: np.ndarray | float) -> np.ndarray:
    """The frequency in Hz of a mel, see `mel`."""
    return 700.0 * np.expm1(np.asarray(mels, dtype=np.float64) / 1127.0)


def mel_matrix(bins: int, n_fft: int, f_min_hz: float, f_max_hz: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    """float32 ``[n_fft // 2 + 1, bins]``: triangles of height 1 on the HTK mel scale, without area normalisation.

    Slopes are straight in mel, not in Hz, as in TensorFlow's `linear_to_mel_weight_matrix`, which the original used;
    torchaudio's are straight in Hz.
    """
    # The constant (bin 0) belongs to no triangle.
    spectrum = mel(np.linspace(0.0, rate_hz / 2, n_fft // 2 + 1)[1:])[:, None]
    edges = np.linspace(mel(f_min_hz), mel(f_max_hz), bins + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (spectrum - lower) / (centre - lower)
    falling = (upper - spectrum) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.pad(triangles, ((1, 0), (0, 0))).astype(np.float32)


@dataclass(frozen=True)
class BandGroup:
    """Some neighbouring mel bands and the bins they take anything from.

    Attributes:
        bins: of the spectrum.
        bands: of the mel spectrum.
        weight: float32 ``[bins, bands]``, a part of the mel matrix outside of which these bands are zero.
    """

    bins: slice
    bands: slice
    weight: torch.Tensor


def band_groups(matrix: np.ndarray, size: int = GROUP_BANDS) -> list[BandGroup]:
    """The mel matrix ``[bins, bands]`` as blocks along its diagonal; bands that take nothing have no bins."""
    groups = []
    for first in range(0, matrix.shape[1], size):
        bands = slice(first, min(first + size, matrix.shape[1]))
        used = np.flatnonzero(matrix[:, bands].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
        groups.append(BandGroup(bins, bands, torch.from_numpy(np.ascontiguousarray(matrix[bins, bands]))))
    return groups


@lru_cache(maxsize=16)
def _mel_matrix(settings: LogMel) -> np.ndarray:
    return mel_matrix(settings.mel_bins, settings.n_fft, settings.f_min_hz, settings.f_max_hz)


@lru_cache(maxsize=16)
def _groups(settings: LogMel) -> list[BandGroup]:
    return band_groups(_mel_matrix(settings))


@lru_cache(maxsize=16)
def _constants(settings: LogMel, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    window = torch.hann_window(settings.n_fft, periodic=True, device=device)
    return window, torch.from_numpy(_mel_matrix(settings)).to(device)


def logmel_batch(wave_BS: torch.Tensor, settings: LogMel) -> torch.Tensor:
    """float32 ``[B, S]`` standardised clips at 16 kHz -> float32 ``[B, M, T]`` in dB, on the same device.

    Where `settings.normalise` asks for it, bands are then normalised (see `synatt.bandnorm`).

    No gradients flow through it on a CPU, where numpy does a part. The hop is ``S // (T - 1)`` samples.
    """
    samples = wave_BS.shape[-1]
    hop = samples // (settings.frames - 1)
    needed = (settings.frames - 1) * hop + settings.n_fft
    padded = torch.nn.functional.pad(wave_BS, (0, max(0, needed - samples)))[..., :needed]
    db_BMT = (_in_blocks if wave_BS.device.type == "cpu" else _at_once)(padded, hop, settings)
    if settings.normalise == "none":
        return db_BMT
    return less_mean(db_BMT) if settings.normalise == "mean" else pcen(db_BMT, hop / RATE_HZ)


def _at_once(padded_BS: torch.Tensor, hop: int, settings: LogMel) -> torch.Tensor:
    """`logmel_batch` of samples ``[B, S]`` that end with the last frame."""
    window, matrix = _constants(settings, padded_BS.device)
    spectrum_BFT = torch.stft(padded_BS, settings.n_fft, hop, window=window, center=False, return_complex=True)
    mel_BTM = spectrum_BFT.abs().transpose(1, 2) @ matrix
    db_BMT = (20.0 * torch.log10(mel_BTM.clamp_min(TINY))).transpose(1, 2)
    return torch.maximum(db_BMT, db_BMT.amax(dim=(1, 2), keepdim=True) - settings.top_db)


def _in_blocks(padded_BS: torch.Tensor, hop: int, settings: LogMel) -> torch.Tensor:
    """The same as `_at_once`, clip by clip and in blocks; silence at both ends, which padding is, is not transformed.

    Products are torch's: numpy's have threads of their own, on all cores, whatever torch was told.
    """
    frames_BTN = padded_BS.unfold(1, settings.n_fft, hop)
    out_BTM = torch.empty(*frames_BTN.shape[:2], settings.mel_bins)
    for padded_S, frames_TN, out_TM in zip(padded_BS, frames_BTN, out_BTM, strict=True):
        start, stop = _heard(padded_S.numpy(), len(frames_TN), hop, settings.n_fft)
        db_TM = out_TM[start:stop]
        for first in range(start, stop, BLOCK_FRAMES):
            _mel(frames_TN[first : min(first + BLOCK_FRAMES, stop)], settings, db_TM[first - start :])
        db_TM.clamp_min_(TINY).log10_().mul_(20.0)
        loudest = float(db_TM.max()) if len(db_TM) else SILENT_DB
        floor = loudest - settings.top_db
        db_TM.clamp_min_(floor)
        for silent_TM in (out_TM[:start], out_TM[stop:]):
            silent_TM.fill_(max(SILENT_DB, floor))
    return out_BTM.transpose(1, 2)


def _mel(frames_TN: torch.Tensor, settings: LogMel, out_TM: torch.Tensor) -> None:
    """Write the mel magnitudes of frames ``[t, n_fft]`` to the first t rows of `out_TM`, which may have more."""
    window, _ = _constants(settings, frames_TN.device)
    # numpy's magnitude of complex numbers takes a sixth of torch's time.
    magnitude_TF = torch.from_numpy(np.abs(torch.fft.rfft(frames_TN * window).numpy()))
    for group in _groups(settings):
        torch.mm(magnitude_TF[:, group.bins], group.weight, out=out_TM[: len(frames_TN), group.bands])


def _heard(samples_S: np.ndarray, frames: int, hop: int, n_fft: int) -> tuple[int, int]:
    """(first, end) of the frames between which all lie that have a sample other than zero."""
    first, last = _first_other_than_zero(samples_S), len(samples_S) - 1 - _first_other_than_zero(samples_S[::-1])
    if last < 0:
        return 0, 0
    # Frame t takes the samples from t x hop to t x hop + n_fft - 1.
    return max(0, -(-(first - n_fft + 1) // hop)), min(frames, last // hop + 1)


def _first_other_than_zero(samples_S: np.ndarray) -> int:
    """Index of the first sample that is not zero, else how many there are; in pieces, for it mostly comes early."""
    piece = 4096
    for first in range(0, len(samples_S), piece):
        loud = samples_S[first : first + piece] != 0
        if loud.any():
            return first + int(loud.argmax())
    return len(samples_S)


def log_mel(waveform: "np.ndarray | torch.Tensor", recipe: Recipe) -> np.ndarray:
    """The log-mel of one waveform under a recipe.

    Args:
        waveform: float32 ``[S]`` at 16 kHz, any length and level; cropped or padded with zeros at the end to the
            recipe's clip, after the whole was brought to zero mean and unit standard deviation.

    Returns:
        float32 ``[M, T]`` in dB.

    Raises:
        AudioError: the waveform is empty, constant, not finite or not a float vector.
    """
    from synatt.audio import from_array

    wave = from_array(waveform.detach().cpu().numpy() if isinstance(waveform, torch.Tensor) else waveform).wave
    clip = fit(standardise(wave), recipe.clip_samples, "end", np.random.default_rng(0))
    return logmel_batch(torch.from_numpy(clip)[None], recipe.logmel)[0].numpy()
