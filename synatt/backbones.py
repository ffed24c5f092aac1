"""Backbone's name -> network: timm's without its classifier, global average pooling, and Syn-Att's head.

In place of timm's, one of torchaudio's self-supervised speech encoders, which is shown the clip and not its log-mel.
"""

from collections.abc import Sequence

import torch
from torch import nn

from synatt.recipe import Backbone, Recipe, Weights
from synatt.selfsupervised import SpeechEncoder, create_encoder
from synatt.weights import create_pretrained


class Attributor(nn.Module):
    """Log-mel in dB -> class logits: backbone, dense layer with SELU, dense layer.

    Args:
        backbone: maps ``[B, 3, M, T]``, a `SpeechEncoder` clips ``[B, S]``, to pooled features ``[B, F]``.
        features: F.
        head_units: width E of the embedding.
        n_classes: C.

    Attributes:
        takes_waveform: what it is given as ``[B, M, T]`` is clips, ``[B, 1, S]``.
        frozen: the backbone keeps its batch statistics in training mode too (see `optimising.freeze`).
    """

    def __init__(self, backbone: nn.Module, features: int, head_units: int, n_classes: int) -> None:
        super().__init__()
        self.frozen = False
        self.takes_waveform = isinstance(backbone, SpeechEncoder)
        self.backbone = backbone
        self.embed = nn.Sequential(nn.Linear(features, head_units), nn.SELU())
        self.classify = nn.Linear(head_units, n_classes)
        # Keras' dense layers start from Glorot uniform weights and zero biases.
        for layer in (self.embed[0], self.classify):
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> "Attributor":
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def embedding(self, logmel_BMT: torch.Tensor) -> torch.Tensor:
        """The penultimate vector ``[B, E]``."""
        if self.takes_waveform:
            return self.embed(self.backbone(logmel_BMT[:, 0]))
        # One channel repeated three times; no ImageNet mean and deviation, as in the original.
        image_B3MT = logmel_BMT[:, None].expand(-1, 3, -1, -1)
        return self.embed(self.backbone(image_B3MT))

    def forward(self, logmel_BMT: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, C]``."""
        return self.classify(self.embedding(logmel_BMT))


def create(backbone: Backbone, recipe: Recipe, weights: Weights | None = None) -> Attributor:
    """The network of one backbone under a recipe.

    Args:
        weights: where initial weights come from; the recipe's own by default.

    Raises:
        WeightsError: the weights that are asked for cannot be had.
    """
    make = create_encoder if backbone.takes_waveform else create_pretrained
    net = make(backbone.timm, weights or recipe.weights, drop_rate=recipe.train.drop_rate)
    return Attributor(net, _pooled_features(net), recipe.head_units, len(recipe.require_classes()))


def _pooled_features(net: nn.Module) -> int:
    # timm states the width after pooling apart, since a few families widen it in the head.
    width = getattr(net, "head_hidden_size", None) or net.num_features
    return int(width)  # type: ignore[arg-type]


def parameter_counts(recipes: Sequence[Recipe]) -> dict[str, int]:
    """Parameters of each backbone of `recipes` with its head, counted without allocating memory."""
    counts = {}
    for recipe in recipes:
        for b in recipe.backbones:
            with torch.device("meta"):
                net = create(b, recipe, Weights(source="random"))
            counts[b.timm] = sum(p.numel() for p in net.parameters())
    return counts
