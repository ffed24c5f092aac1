"""Waveform ``[B, S]`` -> log-mel spectrogram ``[B, M, T]`` in dB, the same code for training and prediction.

Settings of Syn-Att: periodic Hann window as long as the FFT, frames from the first sample on with zeros after the
last, magnitude (not power), HTK mel triangles of height 1, 20 log10, at most 80 dB below the clip's own maximum.
"""

from functools import lru_cache

import numpy as np
import torch

from synatt.clip import fit, standardise
from synatt.constants import RATE_HZ
from synatt.recipe import LogMel, Recipe

# Magnitude below which the logarithm is taken as the floor; far under any clip's own 80 dB range.
TINY = 1e-10


def mel(hz: np.ndarray | float) -> np.ndarray:
    """mel = 1127 ln(1 + f / 700) (O'Shaughnessy; HTK book, section 5.4)."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


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
def _constants(settings: LogMel, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    matrix = mel_matrix(settings.mel_bins, settings.n_fft, settings.f_min_hz, settings.f_max_hz)
    window = torch.hann_window(settings.n_fft, periodic=True, device=device)
    return window, torch.from_numpy(matrix).to(device)


def logmel_batch(wave_BS: torch.Tensor, settings: LogMel) -> torch.Tensor:
    """float32 ``[B, S]`` standardised clips at 16 kHz -> float32 ``[B, M, T]`` in dB, on the same device.

    The hop is ``S // (T - 1)`` samples.
    """
    samples = wave_BS.shape[-1]
    hop = samples // (settings.frames - 1)
    window, matrix = _constants(settings, wave_BS.device)
    needed = (settings.frames - 1) * hop + settings.n_fft
    padded = torch.nn.functional.pad(wave_BS, (0, max(0, needed - samples)))[..., :needed]
    spectrum_BFT = torch.stft(padded, settings.n_fft, hop, window=window, center=False, return_complex=True)
    mel_BTM = spectrum_BFT.abs().transpose(1, 2) @ matrix
    db_BMT = 20.0 * torch.log10(mel_BTM.clamp_min(TINY)).transpose(1, 2)
    floor = db_BMT.amax(dim=(1, 2), keepdim=True) - settings.top_db
    return torch.maximum(db_BMT, floor)


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
