"""One typed, validated model of every setting. A recipe is one instance of it, kept as a small YAML file.

`synatt/sections.py` has what each of its sections may say; `recipes/*.yaml` state what differs from the defaults.
"""

from functools import cached_property

import yaml
from pydantic import Field, model_validator

from synatt import storage
from synatt.constants import RATE_HZ
from synatt.errors import UsageError
from synatt.sections import (
    WAVEFORM_PREFIX,
    Augment,
    Backbone,
    Clip,
    LogMel,
    Outliers,
    Positive,
    Predict,
    Section,
    Train,
    Tune,
    Weights,
)

__all__ = [
    "WAVEFORM_PREFIX",
    "Augment",
    "Backbone",
    "Clip",
    "LogMel",
    "Outliers",
    "Predict",
    "Recipe",
    "RecipeError",
    "Train",
    "Tune",
    "Weights",
]


class RecipeError(UsageError):
    """A recipe does not exist, or one of its keys is unknown or has a bad value."""


class Recipe(Section):
    """Everything that fixes an ensemble: one log-mel (or the clip itself), several backbones, one training plan."""

    name: str = "custom"
    part: int | None = Field(None, ge=1, description="evaluation part this ensemble answers for; null: all")
    classes: tuple[str, ...] | None = Field(None, description="class names, 'unknown' last; null: the manifest's own")
    seed: int = Field(42, ge=0)
    clip: Clip = Clip()
    logmel: LogMel = LogMel()
    outliers: Outliers = Outliers()
    augment: Augment = Augment()
    backbones: tuple[Backbone, ...] = Field(min_length=1)
    weights: Weights = Weights()
    head_units: Positive = 64
    train: Train = Train()
    tune: Tune = Tune()
    predict: Predict = Predict()

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        fewest, workers = self.train.min_workers, self.train.workers
        if fewest is not None and isinstance(workers, int) and fewest > workers:
            raise ValueError(f"train.min_workers: {fewest} is more than train.workers, {workers}")
        if self.train.consistency and (self.augment.mixup_p or self.augment.cutmix_p):
            raise ValueError("train.consistency: needs augment.mixup_p and augment.cutmix_p 0: both mix other clips in")
        names = [b.name for b in self.backbones]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"backbones: name {sorted(twice)[0]!r} stands twice")
        if self.classes is not None and (len(set(self.classes)) != len(self.classes) or len(self.classes) < 2):
            raise ValueError("classes: two or more different names are needed")
        if self.clip_samples // (self.logmel.frames - 1) < 1:
            raise ValueError("logmel.frames: more frames than samples in the clip")
        if self.logmel.f_min_hz >= self.logmel.f_max_hz:
            raise ValueError("logmel.f_min_hz: must be below logmel.f_max_hz")
        waveform = self.logmel.kind == "waveform"
        for b in self.backbones:
            if b.takes_waveform != waveform:
                right = "waveform" if b.takes_waveform else "log_mel"
                raise ValueError(f"logmel.kind: {b.timm} needs {right}, and is given {self.logmel.kind}")
        if waveform and (idle := self.logmel.model_dump().items() - LogMel(kind="waveform").model_dump().items()):
            raise ValueError(f"logmel.{min(idle)[0]}: is of a log-mel; leave it out with logmel.kind=waveform")
        for key in ("mask_p", "jpeg_p", "warp_p"):
            if waveform and getattr(self.augment, key) > 0:
                raise ValueError(f"augment.{key}: is for log-mels; with logmel.kind=waveform it must be 0")
        return self

    @cached_property
    def clip_samples(self) -> int:
        """Samples of the clip at 16 kHz."""
        return round(self.clip.seconds * RATE_HZ)

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(M, T) of what a network is shown of a clip: mel bins and frames, or 1 and the samples."""
        waveform = self.logmel.kind == "waveform"
        return (1, self.clip_samples) if waveform else (self.logmel.mel_bins, self.logmel.frames)

    def backbone(self, name: str) -> Backbone:
        """The backbone called `name`."""
        for b in self.backbones:
            if b.name == name:
                return b
        raise RecipeError(
            f"recipe {self.name} has no backbone {name!r}; it has {', '.join(b.name for b in self.backbones)}"
        )

    def require_classes(self) -> tuple[str, ...]:
        """The class names; an error when neither recipe nor manifest gave them."""
        if self.classes is None:
            raise RecipeError("class names are not known: give --set 'classes=[a, b, unknown]'")
        return self.classes

    def to_yaml(self) -> str:
        """The whole recipe, defaults included, as YAML that `load_recipe` reads back; no URI in it has credentials."""
        values = self.model_dump(mode="json")
        if self.weights.folder:
            values["weights"]["folder"] = storage.without_credentials(self.weights.folder)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
