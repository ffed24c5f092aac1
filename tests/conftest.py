"""What tests share: real speech, small recipes, model folders and clip stores made from it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import torchaudio
from hypothesis import settings

from synatt import backbones, model, selfsupervised
from synatt.clipstore import ClipStore, plan_shards, store_shard
from synatt.recipe import Recipe
from synatt.recipefile import build_recipe

DATA = Path(__file__).parent / "data"
CLASSES = ("a", "b", "c", "d", "e", "unknown")

# Tensors are small: threads would spend their time waiting for each other, a hundredfold on a busy machine.
torch.set_num_threads(1)

# Busy machines are slow, which says nothing about the code; and CI draws the same examples each time.
settings.register_profile("synatt", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("synatt")


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Real speech (`pcm16_6s`, `pcm16_8s`) and the log-mels that Syn-Att's own code gave for it."""
    with np.load(DATA / "golden_logmel.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def speech(golden: dict[str, np.ndarray]) -> np.ndarray:
    """int16 `[96000]`: 6 s of speech at 16 kHz."""
    return golden["pcm16_6s"]


@pytest.fixture(scope="session")
def speech_wave(speech: np.ndarray) -> np.ndarray:
    """float32 `[96000]`: the same 6 s, full scale 1."""
    return speech.astype(np.float32) / np.float32(32768)


@pytest.fixture(scope="session")
def clip_paths(tmp_path_factory: pytest.TempPathFactory, golden: dict[str, np.ndarray]) -> list[str]:
    """Twelve 1 s wavs cut from real speech."""
    folder = tmp_path_factory.mktemp("clips")
    whole = np.concatenate([golden["pcm16_6s"], golden["pcm16_8s"]])
    paths = [str(folder / f"clip{i:02d}.wav") for i in range(12)]
    for i, path in enumerate(paths):
        sf.write(path, whole[8_000 + 16_000 * i : 24_000 + 16_000 * i], 16_000, subtype="PCM_16")
    return paths


@pytest.fixture(scope="session")
def clip_tracks() -> tuple[str, ...]:
    return tuple(f"t{i:02d}" for i in range(12))


@pytest.fixture(scope="session")
def clip_store(
    tmp_path_factory: pytest.TempPathFactory, clip_paths: list[str], clip_tracks: tuple[str, ...]
) -> ClipStore:
    """The twelve clips, decoded, as `t00` to `t11`."""
    folder = str(tmp_path_factory.mktemp("store"))
    shards = plan_shards(clip_tracks, clip_paths, rows=5)
    return ClipStore(folder, [store_shard(folder, shard, 60.0) for shard in shards])


def make_tiny_recipe(timm: str = "test_convnext", name: str = "Tiny", **changes: object) -> Recipe:
    """A recipe that trains in a blink: 1 s clips, 32 x 64 log-mels, one tiny network with random weights."""
    values: dict[str, object] = {
        "name": "tiny",
        "classes": list(CLASSES),
        "clip": {"seconds": 1.0, "pad": "zeros"},
        "logmel": {"mel_bins": 32, "frames": 64, "n_fft": 512},
        "augment": {"freq_mask_bins": 4, "time_mask_frames": 8},
        "weights": {"source": "random"},
        "train": {"workers": 1, "lr_max": 1e-4, "lr_min": 1e-5, "warmup_epochs": 1},
        "backbones": [{"name": name, "timm": timm, "batch": [4, 4], "epochs": [2, 2]}],
    }
    return build_recipe({**values, **changes})


def make_tiny_waveform_recipe(timm: str = "torchaudio/tiny_wav2vec2", name: str = "Wave", **changes: object) -> Recipe:
    """The same for a network that is shown the clip itself; needs the fixture `tiny_encoders`."""
    calm = {"mask_p": 0.0, "jpeg_p": 0.0}
    return make_tiny_recipe(timm, name, **{"logmel": {"kind": "waveform"}, "augment": calm, **changes})


@pytest.fixture
def tiny_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three small speech encoders: as the base models are built, as the large ones, and as WavLM."""
    small = {
        "extractor_mode": "group_norm",
        "extractor_conv_layer_config": [(16, 10, 5), (16, 8, 8), (16, 4, 4)],
        "extractor_conv_bias": False,
        "encoder_embed_dim": 32,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": 3,
        "encoder_num_heads": 4,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 48,
        "encoder_ff_interm_dropout": 0.1,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": False,
        "encoder_layer_drop": 0.1,
        "aux_num_out": None,
    }
    large = {"extractor_mode": "layer_norm", "extractor_conv_bias": True, "encoder_layer_norm_first": True}
    made = {
        "tiny_wav2vec2": partial(torchaudio.models.wav2vec2_model, **small),
        "tiny_large": partial(torchaudio.models.wav2vec2_model, **{**small, **large}),
        "tiny_wavlm": partial(torchaudio.models.wavlm_model, **small, encoder_num_buckets=8, encoder_max_distance=16),
    }
    for name, factory in made.items():
        monkeypatch.setattr(torchaudio.models, name, factory, raising=False)
        monkeypatch.setitem(
            selfsupervised.KNOWN, name, selfsupervised.Known(name, f"{name}_ls960.pth", "large" in name)
        )


@pytest.fixture
def tiny_recipe() -> Recipe:
    return make_tiny_recipe()


MakeModel = Callable[..., str]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model folder below the test's own folder and returns its path."""

    def make(name: str = "Tiny", seed: int = 0, recipe: Recipe | None = None, below: str = "models") -> str:
        recipe = recipe or make_tiny_recipe(name=name)
        torch.manual_seed(seed)
        net = backbones.create(recipe.backbones[0], recipe)
        folder = str(tmp_path / below / name)
        model.save_model(folder, net, recipe, {"macro_f1": 0.5}, [{"epoch": 1, "loss": 1.5}])
        return folder

    return make
