"""Training-time augmentation in the method's order: `waveform`, then `spectrogram`, then `batch`.

`warp`, which is not of the method, comes before `spectrogram`. Every function is (tensor, settings, rng) -> tensor,
vectorised over the batch, and draws only from its `rng`.
"""
