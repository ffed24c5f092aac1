"""Training-time augmentation in the method's order: `waveform`, then `spectrogram`, then `batch`.

Not of the method are `rawboost`, before `waveform`, and `warp`, before `spectrogram`. Every function is (tensor,
settings, rng) -> tensor, and draws only from its `rng`; all but `rawboost` and JPEG are vectorised over the batch.
"""
