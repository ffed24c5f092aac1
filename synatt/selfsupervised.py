"""torchaudio's self-supervised speech encoders as backbones: a clip ``[B, S]`` -> pooled features ``[B, F]``.

wav2vec 2.0 (Baevski et al. 2020), XLS-R (Babu et al. 2021), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022). Which
layer knows most depends on the task, so all are taken: a learned weighted sum over them, as in SUPERB (Yang et al.
2021), and its mean over time. As for timm's networks, weights that are asked for and cannot be had are an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from synatt.recipe import WAVEFORM_PREFIX, Weights
from synatt.weights import WeightsError, find_named, first_line, on_disk


@dataclass(frozen=True)
class Known:
    """A pretrained encoder that torchaudio publishes.

    Attributes:
        factory: function of `torchaudio.models` that makes its network.
        file: name of torchaudio's weight file.
        levelled: it was pretrained on clips of zero mean and unit deviation. The others do not mind the level: they
            normalise what their first convolution, which has no bias, gives over the whole clip.
    """

    factory: str
    file: str
    levelled: bool


# By the bundle's name in `torchaudio.pipelines`, in small letters; those fine-tuned to write speech down are left out.
KNOWN = {
    "wav2vec2_base": Known("wav2vec2_base", "wav2vec2_fairseq_base_ls960.pth", False),
    "wav2vec2_large": Known("wav2vec2_large", "wav2vec2_fairseq_large_ls960.pth", False),
    "wav2vec2_large_lv60k": Known("wav2vec2_large_lv60k", "wav2vec2_fairseq_large_lv60k.pth", True),
    "wav2vec2_xlsr53": Known("wav2vec2_large_lv60k", "wav2vec2_fairseq_large_xlsr53.pth", True),
    "wav2vec2_xlsr_300m": Known("wav2vec2_xlsr_300m", "wav2vec2_xlsr_300m.pth", True),
    "wav2vec2_xlsr_1b": Known("wav2vec2_xlsr_1b", "wav2vec2_xlsr_1b.pth", True),
    "wav2vec2_xlsr_2b": Known("wav2vec2_xlsr_2b", "wav2vec2_xlsr_2b.pth", True),
    "hubert_base": Known("hubert_base", "hubert_fairseq_base_ls960.pth", False),
    "hubert_large": Known("hubert_large", "hubert_fairseq_large_ll60k.pth", True),
    "hubert_xlarge": Known("hubert_xlarge", "hubert_fairseq_xlarge_ll60k.pth", True),
    "wavlm_base": Known("wavlm_base", "wavlm_base.pth", False),
    "wavlm_base_plus": Known("wavlm_base", "wavlm_base_plus.pth", False),
    "wavlm_large": Known("wavlm_large", "wavlm_large.pth", True),
}


class SpeechEncoder(nn.Module):
    """Clips float32 ``[B, S]`` at 16 kHz -> float32 ``[B, F]``: the mean over time of a learned sum over the layers.

    The layers are run here, and not by torchaudio's `extract_features`, which leaves out what the first layer is given
    and, of the large models, the norm after the last one: a weight that never learns stops distributed training.

    Args:
        encoder: a `torchaudio.models.Wav2Vec2Model`.
        levelled: see `Known`.
        drop_rate: dropout of the pooled features.

    Attributes:
        num_features: F.
        layer_logit_L: the softmax of it weighs what the first layer is given and what each layer gives; equal at first.
    """

    def __init__(self, encoder: nn.Module, levelled: bool, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.levelled = levelled
        layers: Any = encoder.encoder.transformer.layers  # type: ignore[union-attr]
        self.num_features = int(layers[0].attention.embed_dim)
        self.layer_logit_L = nn.Parameter(torch.zeros(len(layers) + 1))
        self.drop = nn.Dropout(drop_rate)
        self._recompute = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep no activations of a layer for the backward pass, and compute them again there."""
        self._recompute = enable

    def forward(self, wave_BS: torch.Tensor) -> torch.Tensor:
        if self.levelled:
            wave_BS = nn.functional.layer_norm(wave_BS, wave_BS.shape[1:])
        # The mean over time of a sum is the sum of the means, which are small.
        pooled_LBF = torch.stack([layer_BTF.float().mean(dim=1) for layer_BTF in self._layers(wave_BS)])
        share_L = self.layer_logit_L.softmax(dim=0)
        return self.drop((share_L[:, None, None] * pooled_LBF).sum(dim=0))

    def _layers(self, wave_BS: torch.Tensor) -> Iterator[torch.Tensor]:
        """``[B, T, F]`` of what the first transformer layer is given, then of what each layer gives."""
        extractor: Any = self.encoder.feature_extractor
        body: Any = self.encoder.encoder
        transformer = body.transformer
        x_BTF = body.feature_projection(self._run(extractor, wave_BS, None)[0])
        x_BTF = x_BTF + transformer.pos_conv_embed(x_BTF)
        # The base models have the norm before the first layer, the large ones after the last.
        if transformer.layer_norm_first:
            x_BTF = transformer.layer_norm(x_BTF)
        x_BTF = transformer.dropout(x_BTF)
        yield x_BTF
        # WavLM's first layer makes the bias of positions that all others share.
        bias = None
        for number, layer in enumerate(transformer.layers, start=1):
            x_BTF, bias = self._run(layer, x_BTF, None, bias)
            last = number == len(transformer.layers)
            yield transformer.layer_norm(x_BTF) if last and not transformer.layer_norm_first else x_BTF

    def _run(self, part: nn.Module, *given: torch.Tensor | None) -> Any:
        if self._recompute and self.training and torch.is_grad_enabled():
            return checkpoint(part, *given, use_reentrant=False)
        return part(*given)


def create_encoder(name: str, weights: Weights, drop_rate: float = 0.0) -> SpeechEncoder:
    """The encoder ``torchaudio/<name>``, initialised as `weights` says.

    Raises:
        WeightsError: there is no such encoder, its weights cannot be reached, or they do not fit to the last tensor.
    """
    import torchaudio.models  # only needed where such networks are made

    short = name.removeprefix(WAVEFORM_PREFIX)
    if short not in KNOWN:
        raise WeightsError(f"no self-supervised encoder {name!r}; there are {WAVEFORM_PREFIX}{{{', '.join(KNOWN)}}}")
    if weights.source == "package":
        raise WeightsError(f"weights.source=package has no weights of {name}: take hub or folder")
    known = KNOWN[short]
    encoder = getattr(torchaudio.models, known.factory)()
    if weights.source == "hub":
        fill(encoder, _from_hub(short), name)
    elif weights.source == "folder":
        assert weights.folder is not None
        fill(encoder, _from_folder(weights.folder, short, known), name)
    return SpeechEncoder(encoder, known.levelled, drop_rate)


def _from_hub(short: str) -> Mapping[str, Any]:
    import torchaudio.pipelines

    bundle = getattr(torchaudio.pipelines, short.upper())
    try:
        # A torch pickle could run code, hence weights_only.
        found: nn.Module = bundle.get_model(dl_kwargs={"weights_only": True, "progress": False})
    except Exception as err:
        # Being out of reach, a damaged download and a full disk are errors of many types.
        raise WeightsError(
            f"cannot get the weights of {WAVEFORM_PREFIX}{short} from torchaudio's hub ({first_line(err)}); on a "
            f"machine without it, put {KNOWN[short].file} into a folder and give --set weights.source=folder --set "
            "weights.folder=DIR"
        ) from err
    return found.state_dict()


def _from_folder(folder: str, short: str, known: Known) -> Mapping[str, Any]:
    from timm.models import load_state_dict

    path = on_disk(find_named(folder, WAVEFORM_PREFIX + short, lambda: (short, known.file)))
    try:
        # Of any suffix, out of a training checkpoint and of distributed training too; a pickle could run code.
        return load_state_dict(path, use_ema=False, weights_only=True)
    except Exception as err:
        raise WeightsError(f"{path} holds no weights: {first_line(err)}") from err


def fill(encoder: nn.Module, state: Mapping[str, Any], name: str) -> None:
    """Give `encoder` all of its tensors from `state`, as torchaudio's models have them: bare, or in its wrapper.

    Raises:
        WeightsError: a tensor is missing, is not of this network, or has another shape.
    """
    # The wrapper levels the clips; `aux` is the layer of models that write speech down.
    state = {key.removeprefix("model."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("aux.")}
    try:
        found = encoder.load_state_dict(state, strict=False)
    except (RuntimeError, TypeError, AttributeError) as err:
        raise WeightsError(f"the weight file does not fit {name}: {first_line(err)}") from None
    for what, keys in (("is missing", found.missing_keys), ("is not of this network", found.unexpected_keys)):
        if keys:
            more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
            raise WeightsError(f"the weight file does not fit {name}: {keys[0]} {what}{more}")
