"""The head of recipes, as YAML, that train in a blink; a test adds its own `tune` and `backbones`."""

HEAD = """
name: tiny
clip: {seconds: 1.0, pad: random}
logmel: {mel_bins: 32, frames: 64, n_fft: 512}
augment: {freq_mask_bins: 4, time_mask_frames: 8}
weights: {source: random}
train: {lr_max: 1.0e-4, lr_min: 1.0e-5, warmup_epochs: 1, workers: 1}
"""
