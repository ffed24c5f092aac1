"""Speech encoders of torchaudio as backbones: the clip in place of its log-mel, all else as for timm's networks."""

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio

import synatt
from synatt import backbones, model, selfsupervised
from synatt.audio import load_audio
from synatt.clip import crops
from synatt.clipstore import ClipStore
from synatt.enrolling import Clips, _embedded
from synatt.ensemble import Ensemble, View, plan
from synatt.feed import Examples
from synatt.optimising import arranged, freeze
from synatt.recipe import Backbone, Recipe, Train, Weights
from synatt.selfsupervised import KNOWN, SpeechEncoder, create_encoder
from synatt.staging import stage
from synatt.step import augmented
from synatt.training import Run, make_plan
from synatt.weights import WeightsError
from tests.conftest import CLASSES, MakeModel, make_tiny_recipe, make_tiny_waveform_recipe
from tests.weightfiles import put, refusal

CPU = torch.device("cpu")
TINY = ("torchaudio/tiny_wav2vec2", "torchaudio/tiny_large", "torchaudio/tiny_wavlm")
NAME = "torchaudio/tiny_wav2vec2"

State = dict[str, torch.Tensor]

pytestmark = pytest.mark.usefixtures("tiny_encoders")


def clips(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 8_000, generator=torch.Generator().manual_seed(1))


def tiny(name: str = NAME, **more: float) -> SpeechEncoder:
    torch.manual_seed(0)
    return create_encoder(name, Weights(source="random"), **more)


@pytest.mark.parametrize("name", TINY)
def test_the_layers_are_torchaudios_own(name: str) -> None:
    net = tiny(name).eval()
    x = clips()
    if net.levelled:
        x = torch.nn.functional.layer_norm(x, x.shape[1:])
    found = list(net._layers(x))
    theirs, _ = net.encoder.extract_features(x)
    assert len(found) == len(net.layer_logit_L) == len(theirs) + 1
    for mine, wanted in zip(found[1:-1], theirs, strict=False):
        torch.testing.assert_close(mine, wanted)
    torch.testing.assert_close(found[-1], net.encoder(x)[0])


def test_the_features_are_the_mean_over_time_of_a_weighted_sum_over_the_layers() -> None:
    net = tiny().eval()
    layers = list(net._layers(clips()))
    assert net(clips()).shape == (3, net.num_features) == (3, 32)
    torch.testing.assert_close(net(clips()), torch.stack(layers).mean(dim=(0, 2)))
    net.layer_logit_L.data[2] = 50.0
    torch.testing.assert_close(net(clips()), layers[2].mean(dim=1))


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_learns(name: str) -> None:
    net = tiny(name).train()
    net(clips()).square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", TINY)
def test_the_level_of_a_clip_says_nothing(name: str) -> None:
    net = tiny(name).eval()
    torch.testing.assert_close(net(clips() * 0.3), net(clips()), atol=1e-3, rtol=1e-3)
    # A clip among others is what it is alone.
    torch.testing.assert_close(net(clips()[:1]), net(clips())[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_recomputed_activations_give_the_same_gradient(name: str) -> None:
    gradients = []
    for recompute in (False, True):
        recipe = make_tiny_waveform_recipe(name)
        torch.manual_seed(0)
        net = arranged(backbones.create(recipe.backbones[0], recipe), Train(grad_checkpointing=recompute), CPU).train()
        torch.manual_seed(1)
        net(clips()[:, None]).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_nothing_in_an_encoder_is_laid_out_as_a_picture() -> None:
    recipe = make_tiny_waveform_recipe("torchaudio/tiny_wavlm")
    net = arranged(backbones.create(recipe.backbones[0], recipe), Train(channels_last=True), CPU)
    assert any(p.ndim == 4 for p in net.parameters())
    assert all(p.stride() == torch.empty(p.shape).stride() for p in net.parameters())


def test_while_the_backbone_is_frozen_the_weights_of_the_layers_learn() -> None:
    recipe = make_tiny_waveform_recipe()
    net = backbones.create(recipe.backbones[0], recipe)
    freeze(net, True)
    net.train()
    assert not net.backbone.training
    learning = {name.partition(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learning == {"backbone", "embed", "classify"}
    assert [n for n, p in net.backbone.named_parameters() if p.requires_grad] == ["layer_logit_L"]
    freeze(net, False)
    assert all(p.requires_grad for p in net.parameters())


def test_dropout_of_the_pooled_features_follows_the_recipe() -> None:
    net = tiny(drop_rate=0.9)
    for part in net.encoder.modules():
        part.eval()
    assert 0.7 < float((net(clips()) == 0).float().mean()) < 1


# Torchaudio's networks and the settings that it publishes with their weights.


@pytest.mark.parametrize("short", [n for n in KNOWN if not n.startswith("tiny")])
def test_what_is_known_of_an_encoder_is_what_torchaudio_says(monkeypatch: pytest.MonkeyPatch, short: str) -> None:
    bundle, known = getattr(torchaudio.pipelines, short.upper()), KNOWN[short]
    assert (bundle._path, bundle._normalize_waveform, bundle.sample_rate) == (known.file, known.levelled, 16_000)
    asked: dict[str, Any] = {}
    for kind in ("wav2vec2_model", "wavlm_model"):
        monkeypatch.setattr(torchaudio.models.wav2vec2.model, kind, lambda _kind=kind, **k: asked.update(k, kind=_kind))
    getattr(torchaudio.models, known.factory)()
    assert asked.pop("kind") == {"Wav2Vec2": "wav2vec2_model", "WavLM": "wavlm_model"}[bundle._model_type]
    shape = {k for k in asked if not k.endswith(("dropout", "drop"))}
    for key in shape - {"extractor_conv_layer_config"}:
        assert asked[key] == bundle._params[key], key
    # None stands for the layers of the paper, which the bundles spell out.
    default = [(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2
    assert (asked["extractor_conv_layer_config"] or default) == bundle._params["extractor_conv_layer_config"]


def test_no_encoder_that_torchaudio_publishes_is_forgotten() -> None:
    of = {n: getattr(torchaudio.pipelines, n) for n in dir(torchaudio.pipelines)}
    plain = {n.lower() for n, b in of.items() if type(b).__name__ == "Wav2Vec2Bundle"}
    assert plain == {n for n in KNOWN if not n.startswith("tiny")}


# Weights.


@pytest.fixture
def trained() -> State:
    """All tensors of a tiny encoder, none of them as freshly initialised."""
    state = tiny().encoder.state_dict()
    return {k: t + torch.rand_like(t) for k, t in state.items()}


def from_folder(folder: Path) -> State:
    return create_encoder(NAME, Weights(source="folder", folder=str(folder))).encoder.state_dict()


def refused(folder: Path) -> str:
    return refusal(from_folder, folder)


def as_published(state: State) -> State:
    """Under the names that weight norm had when torchaudio's files were made."""
    conv = "encoder.transformer.pos_conv_embed.conv."
    old = {f"{conv}parametrizations.weight.original{i}": f"{conv}weight_{x}" for i, x in enumerate("gv")}
    assert set(old) <= set(state)
    return {old.get(key, key): value for key, value in state.items()}


@pytest.mark.parametrize(
    "file", ["tiny_wav2vec2.safetensors", "tiny_wav2vec2.pth", "tiny_wav2vec2_ls960.pth", "tiny_wav2vec2/model.bin"]
)
def test_weights_in_a_folder_are_found_under_its_name_and_torchaudios(
    tmp_path: Path, trained: State, file: str
) -> None:
    put(tmp_path / file, trained)
    found = from_folder(tmp_path)
    assert set(found) == set(trained)
    for key, tensor in found.items():
        assert torch.equal(tensor, trained[key]), key


@pytest.mark.parametrize("form", ["published", "wrapped", "checkpoint", "writes"])
def test_weights_are_taken_in_the_forms_they_are_kept_in(tmp_path: Path, trained: State, form: str) -> None:
    state: dict[str, Any] = {
        "published": as_published(trained),
        "wrapped": {f"model.{k}": t for k, t in trained.items()},
        "checkpoint": {"epoch": 3, "state_dict": {f"module.{k}": t for k, t in trained.items()}},
        "writes": {**trained, "aux.weight": torch.zeros(29, 32), "aux.bias": torch.zeros(29)},
    }[form]
    found = from_folder(put(tmp_path / "tiny_wav2vec2.pth", state).parent)
    for key, tensor in found.items():
        assert torch.equal(tensor, trained[key]), key


def test_a_tensor_that_is_missing_too_many_or_of_another_shape_is_an_error(tmp_path: Path, trained: State) -> None:
    file, key = tmp_path / "tiny_wav2vec2.pth", "encoder.transformer.layers.1.attention.k_proj.weight"
    put(file, {k: t for k, t in trained.items() if k != key})
    assert f"does not fit {NAME}: {key} is missing" in refused(tmp_path)
    put(file, {**trained, "masked_spec_embed": torch.zeros(32)})
    assert "masked_spec_embed is not of this network" in refused(tmp_path)
    put(file, {**trained, key: torch.zeros(3, 3)})
    assert key in refused(tmp_path)
    put(file, [1, 2])
    assert "holds no weights" in refused(tmp_path)
    put(file, {"a": 1})
    assert "is missing (and" in refused(tmp_path)
    file.write_bytes(b"not weights")
    assert "holds no weights" in refused(tmp_path)


def test_weights_that_cannot_be_had_are_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "wanted tiny_wav2vec2.safetensors, found no weight file" in refused(tmp_path)
    for name, source, said in (
        ("torchaudio/wav2vec3", "random", "there are torchaudio/{wav2vec2_base, "),
        (NAME, "package", "take hub or folder"),
    ):
        with pytest.raises(WeightsError, match=said.replace("{", r"\{")):
            create_encoder(name, Weights(source=source))  # type: ignore[arg-type]

    def out_of_reach(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(type(torchaudio.pipelines.WAVLM_BASE), "get_model", out_of_reach)
    with pytest.raises(WeightsError, match="no route.*put wavlm_base.pth into a folder") as caught:
        create_encoder("torchaudio/wavlm_base", Weights(source="hub"))
    assert len(str(caught.value).splitlines()) == 1


def test_the_hubs_weights_are_taken(monkeypatch: pytest.MonkeyPatch, trained: State) -> None:
    class Bundle:
        def get_model(self, dl_kwargs: dict[str, object]) -> torch.nn.Module:
            assert dl_kwargs["weights_only"] is True
            net = tiny().encoder
            net.load_state_dict(trained)
            return net

    monkeypatch.setattr(torchaudio.pipelines, "TINY_WAV2VEC2", Bundle(), raising=False)
    found = create_encoder(NAME, Weights(source="hub")).encoder.state_dict()
    assert all(torch.equal(tensor, trained[key]) for key, tensor in found.items())


# The way a clip takes.


def test_the_feature_of_a_clip_is_the_clip(clip_paths: list[str]) -> None:
    recipe = make_tiny_waveform_recipe()
    wave = load_audio(clip_paths[0]).wave
    assert recipe.feature_shape == (1, 16_000)
    np.testing.assert_array_equal(synatt.log_mel(wave, recipe), crops(wave, 16_000, "end", 1))
    wave_BS, target_BC = clips(4), torch.eye(6)[:4]
    plain = {"mask_p": 0.0, "jpeg_p": 0.0, "group_p": 0.0, "mixup_p": 0.0, "cutmix_p": 0.0}
    x, _ = augmented(wave_BS, target_BC, make_tiny_waveform_recipe(augment=plain), np.random.default_rng(0))
    assert torch.equal(x, wave_BS[:, None])
    mixed = {**plain, "mixup_p": 1.0, "cutmix_p": 1.0}
    x, target = augmented(wave_BS, target_BC, make_tiny_waveform_recipe(augment=mixed), np.random.default_rng(0))
    assert x.shape == (4, 1, 8_000)
    assert torch.equal(wave_BS, clips(4))
    torch.testing.assert_close(target.sum(dim=1), torch.ones(4))


@pytest.fixture
def examples(clip_tracks: tuple[str, ...]) -> Examples:
    return Examples(clip_tracks, np.eye(6, dtype=np.float32)[[i % 6 for i in range(12)]])


def trained_run(recipe: Recipe, epochs: int, examples: Examples, store: ClipStore) -> Run:
    made = Run(make_plan(recipe, recipe.backbones[0], 0, epochs, 1), examples, examples, store, CPU)
    for _ in made.epochs():
        pass
    return made


@pytest.mark.parametrize("name", TINY)
def test_training_on_a_few_clips_of_speech_lowers_the_loss(
    examples: Examples, clip_store: ClipStore, name: str
) -> None:
    calm = {"mask_p": 0.0, "jpeg_p": 0.0, "group_p": 0.0, "mixup_p": 0.0, "cutmix_p": 0.0}
    train = {"lr_start": 3e-3, "lr_max": 5e-4, "decay": 0.95, "freeze_epochs": 1, "ema_decay": 0.5}
    recipe = make_tiny_waveform_recipe(name, augment=calm, train=train)
    made = trained_run(recipe, 16, examples, clip_store)
    losses = [row["loss"] for row in made.progress.curve]
    assert losses[-1] < 0.8 * losses[0]
    assert not torch.equal(made.bare.backbone.layer_logit_L.detach(), torch.zeros(4))  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("name", TINY)
def test_a_model_folder_gives_equal_answers(make_model: MakeModel, name: str) -> None:
    recipe = make_tiny_waveform_recipe(name)
    folder = make_model("Wave", recipe=recipe)
    torch.manual_seed(0)
    net = backbones.create(recipe.backbones[0], recipe).eval()
    loaded = model.load_model(folder)
    assert loaded.recipe == recipe
    with torch.inference_mode():
        assert torch.equal(loaded.net(clips()[:, None]), net(clips()[:, None]))


def test_models_of_both_kinds_answer_together(make_model: MakeModel, clip_paths: list[str]) -> None:
    two = {"predict": {"crops": 2}, "clip": {"seconds": 0.6, "pad": "random"}}
    folders = [
        make_model("Wave", recipe=make_tiny_waveform_recipe(**two)),  # type: ignore[arg-type]
        make_model("Other", 1, make_tiny_waveform_recipe(TINY[2], "Other", **two)),  # type: ignore[arg-type]
        make_model("Tiny", 2),
    ]
    made = plan(folders)
    assert len(made.views) == 2
    assert made.view_of[0] == made.view_of[1] != made.view_of[2]
    units = stage(["x"], clip_paths[:1], made)
    assert units.logmels[made.view_of[0]].shape == (1, 2, 1, 9_600)
    assert units.logmels[made.view_of[2]].shape == (1, 1, 32, 64)
    p = [f"p_{c}" for c in CLASSES]
    each = [synatt.load(folder).predict(clip_paths[:3])[p].to_numpy(float) for folder in folders]
    found = synatt.load(folders).predict(clip_paths[:3])
    assert found["status"].tolist() == ["ok"] * 3
    np.testing.assert_allclose(found[p].to_numpy(float), np.mean(each, axis=0), atol=1e-5)
    assert len({round(float(row[0, 0]), 6) for row in each}) == 3


def test_the_kind_is_part_of_the_view() -> None:
    assert View.of(make_tiny_recipe()).key != View.of(make_tiny_waveform_recipe()).key


def test_embeddings_are_those_that_enrolling_takes(make_model: MakeModel, clip_paths: list[str]) -> None:
    loaded = Ensemble(plan([make_model("Wave", recipe=make_tiny_waveform_recipe())]), CPU)
    wave = load_audio(clip_paths[0]).wave
    found = _embedded(loaded.models[0], Clips([wave], np.zeros(1, np.int64)))
    assert found.vectors.shape[1] == 64
    scores = loaded.score(stage(["x"], clip_paths[:1], loaded.plan).logmels, ["x"])
    assert scores.embeddings[0].shape == (1, 64)


def test_openvino_gives_the_same_embeddings(make_model: MakeModel, clip_paths: list[str]) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra openvino)")
    p = [f"p_{c}" for c in CLASSES]
    # The one with most that OpenVINO has to know.
    folder = make_model(recipe=make_tiny_waveform_recipe("torchaudio/tiny_wavlm"))
    plain, fast = (synatt.load(folder, engine=e).predict(clip_paths[:3])[p] for e in ("torch", "openvino"))  # type: ignore[arg-type]
    np.testing.assert_allclose(fast.to_numpy(float), plain.to_numpy(float), atol=1e-4)


def test_the_head_fits_the_encoders_width() -> None:
    net = backbones.create(
        Backbone(name="B", timm="torchaudio/tiny_wavlm", batch=(1, 1), epochs=(1, 1)), make_tiny_waveform_recipe()
    )
    assert net.embed[0].in_features == 32
    assert isinstance(net.backbone, selfsupervised.SpeechEncoder)
