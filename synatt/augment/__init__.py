"""Training-time augmentation in the method's order: `waveform`, then (not of the method) `warp`, `spectrogram`, `batch`.

Every function is (tensor, settings, rng) -> tensor, vectorised over the batch, and draws only from its `rng`.
"""
