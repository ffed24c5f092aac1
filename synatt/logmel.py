"""Waveform ``[B, S]`` -> log-mel spectrogram ``[B, M, T]`` in dB, the same code for training and prediction.

On a CPU it is made clip by clip, in blocks of frames that stay in the cache, and bands by a sparse product; on a GPU in
few large operations.

Settings of Syn-Att: periodic Hann window as long as the FFT, frames from the first sample on with zeros after the
last, magnitude (not power), HTK mel triangles of height 1, 20 log10, at most 80 dB below the clip's own maximum.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from synatt.bandnorm import less_mean, pcen
from synatt.clip import fit, standardise
from synatt.constants import RATE_HZ
from synatt.recipe import LogMel, Recipe

# Magnitude below which the logarithm is taken as the floor; far under any clip's own 80 dB range.
TINY = 1e-10
# Frames that a CPU transforms at a time: their spectra stay in its cache until their magnitudes are taken.
BLOCK_FRAMES = 128


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


@lru_cache(maxsize=16)
def _mel_matrix(settings: LogMel) -> np.ndarray:
    return mel_matrix(settings.mel_bins, settings.n_fft, settings.f_min_hz, settings.f_max_hz)


@lru_cache(maxsize=16)
def _bands(settings: LogMel) -> Any:
    """The mel matrix as a sparse one, ``[M, F]``: a band takes few of the spectrum's bins."""
    from scipy.sparse import csr_array

    return csr_array(_mel_matrix(settings).T)


@lru_cache(maxsize=16)
def _constants(settings: LogMel, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    window = torch.hann_window(settings.n_fft, periodic=True, device=device)
    return window, torch.from_numpy(_mel_matrix(settings)).to(device)


def logmel_batch(wave_BS: torch.Tensor, settings: LogMel) -> torch.Tensor:
    """float32 ``[B, S]`` standardised clips at 16 kHz -> float32 ``[B, M, T]`` in dB, on the same device.

    Where `settings.normalise` asks for it, bands are then normalised (see `synatt.bandnorm`).

    No gradients flow through it on a CPU, where numpy does a part. The hop is ``S // (T - 1)`` samples. With `kind`
    'waveform' it is the clips themselves, ``[B, 1, S]``, for networks that make their own features.
    """
    if settings.kind == "waveform":
        return wave_BS[:, None]
    hop = wave_BS.shape[-1] // (settings.frames - 1)
    db_BMT = (_clip_by_clip if wave_BS.device.type == "cpu" else _at_once)(wave_BS, hop, settings)
    if settings.normalise == "none":
        return db_BMT
    return less_mean(db_BMT) if settings.normalise == "mean" else pcen(db_BMT, hop / RATE_HZ)


def _at_once(wave_BS: torch.Tensor, hop: int, settings: LogMel) -> torch.Tensor:
    """`logmel_batch` in few large operations."""
    window, matrix = _constants(settings, wave_BS.device)
    needed = (settings.frames - 1) * hop + settings.n_fft
    padded_BS = torch.nn.functional.pad(wave_BS, (0, max(0, needed - wave_BS.shape[-1])))[..., :needed]
    spectrum_BFT = torch.stft(padded_BS, settings.n_fft, hop, window=window, center=False, return_complex=True)
    mel_BTM = spectrum_BFT.abs().transpose(1, 2) @ matrix
    db_BMT = (20.0 * torch.log10(mel_BTM.clamp_min(TINY))).transpose(1, 2)
    return torch.maximum(db_BMT, db_BMT.amax(dim=(1, 2), keepdim=True) - settings.top_db)


def _clip_by_clip(wave_BS: torch.Tensor, hop: int, settings: LogMel) -> torch.Tensor:
    """The same as `_at_once`; silence at both ends of a clip, which padding is, is not transformed."""
    out_BMT = np.empty((len(wave_BS), settings.mel_bins, settings.frames), np.float32)
    for wave_S, out_MT in zip(wave_BS.numpy(), out_BMT, strict=True):
        start, frames_TN = _heard(wave_S, hop, settings)
        _to_decibels(_bands(settings) @ _magnitudes(frames_TN, settings), start, settings.top_db, out_MT)
    return torch.from_numpy(out_BMT)


def _heard(wave_S: np.ndarray, hop: int, settings: LogMel) -> tuple[int, torch.Tensor]:
    """The first frame with a sample other than zero, and all ``[t, n_fft]`` from there to the last such one, a view."""
    first, end = _ends(wave_S)
    # Frame t takes the samples from t x hop to t x hop + n_fft - 1.
    start, stop = max(0, -(-(first - settings.n_fft + 1) // hop)), min(settings.frames, (end - 1) // hop + 1)
    if first == end or start >= stop:
        return 0, torch.empty(0, settings.n_fft)
    begin, past = start * hop, (stop - 1) * hop + settings.n_fft
    samples_S = wave_S[begin:past]
    if len(samples_S) < past - begin:
        samples_S = np.concatenate([samples_S, np.zeros(past - begin - len(samples_S), np.float32)])
    return start, torch.from_numpy(samples_S).unfold(0, settings.n_fft, hop)


def _ends(wave_S: np.ndarray) -> tuple[int, int]:
    """(first, end) of the samples of float32 ``[S]`` between which all lie that are not zero; equal where none is.

    In pieces from both sides, for speech mostly begins and ends near them.
    """
    first, end, piece = 0, len(wave_S), 8192
    # Bits are compared: an integer maximum takes a fifth of the time, and a negative zero does no harm.
    bits_S = np.ascontiguousarray(wave_S).view(np.uint32)
    while first < end and not bits_S[first : first + piece].max():
        first = min(first + piece, end)
    while first < end and not bits_S[max(first, end - piece) : end].max():
        end = max(first, end - piece)
    if first < end:
        first += int((bits_S[first : first + piece] != 0).argmax())
        end -= int((bits_S[max(first, end - piece) : end][::-1] != 0).argmax())
    return first, end


def _magnitudes(frames_TN: torch.Tensor, settings: LogMel) -> np.ndarray:
    """Spectra of frames, windowed, float32 ``[n_fft // 2 + 1, t]``, in blocks that stay in the cache."""
    window, _ = _constants(settings, frames_TN.device)
    out_FT = np.empty((settings.n_fft // 2 + 1, len(frames_TN)), np.float32)
    for first in range(0, len(frames_TN), BLOCK_FRAMES):
        spectrum_TF = torch.fft.rfft(frames_TN[first : first + BLOCK_FRAMES] * window)
        # numpy's magnitude of complex numbers takes a sixth of torch's time. Frames side by side are what the sparse
        # product wants.
        out_FT[:, first : first + BLOCK_FRAMES] = np.abs(spectrum_TF.numpy()).T
    return out_FT


def _to_decibels(mel_MT: np.ndarray, start: int, top_db: float, out_MT: np.ndarray) -> None:
    """Mel magnitudes ``[M, t]`` of the frames from `start` on -> `out_MT` ``[M, T]`` in dB.

    None is lower than `top_db` below the loudest; all other frames are silent. `mel_MT` is overwritten.
    """
    # numpy's natural logarithm takes a third of the time of torch's decimal one, torch's clamp a fifth of numpy's.
    db, stop = np.float32(20.0 / math.log(10.0)), start + mel_MT.shape[1]
    floor = np.float32(max(TINY, float(mel_MT.max(initial=TINY)) * 10 ** (-top_db / 20)))
    torch.from_numpy(mel_MT).clamp_min_(float(floor))
    np.log(mel_MT, out=mel_MT)
    np.multiply(mel_MT, db, out=out_MT[:, start:stop])
    out_MT[:, :start] = out_MT[:, stop:] = np.log(floor) * db


def log_mel(waveform: "np.ndarray | torch.Tensor", recipe: Recipe) -> np.ndarray:
    """The log-mel of one waveform under a recipe.

    Args:
        waveform: float32 ``[S]`` at 16 kHz, any length and level; cropped or padded with zeros at the end to the
            recipe's clip, after the whole was brought to zero mean and unit standard deviation.

    Returns:
        float32 ``[M, T]`` in dB; the clip itself, ``[1, S]``, under a recipe of `logmel.kind` 'waveform'.

    Raises:
        AudioError: the waveform is empty, constant, not finite or not a float vector.
    """
    from synatt.audio import from_array

    wave = from_array(waveform.detach().cpu().numpy() if isinstance(waveform, torch.Tensor) else waveform).wave
    clip = fit(standardise(wave), recipe.clip_samples, "end", np.random.default_rng(0))
    return logmel_batch(torch.from_numpy(clip)[None], recipe.logmel)[0].numpy()
