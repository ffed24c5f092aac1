"""Recipes: the method's numbers, overrides, and one-line errors for everything else."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synatt.recipe import Recipe, RecipeError
from synatt.recipefile import build_recipe, load_recipe, packaged, parse_yaml, recipe_names

# Syn-Att's published table: backbone, timm weights, batch per GPU (stage 1, stage 2), epochs (stage 1, stage 2).
BACKBONES = {
    "part1": [
        ("EfficientNetB0", "efficientnet_b0.ra_in1k", (64, 64), (11, 15)),
        ("ResNet50D", "resnet50d.ra2_in1k", (64, 64), (9, 18)),
        ("ResNetRS50", "resnetrs50.tf_in1k", (32, 32), (13, 17)),
        ("ResNest50", "resnest50d.in1k", (32, 32), (21, 16)),
        ("RegNetZD8", "regnetz_d8.ra3_in1k", (64, 64), (8, 12)),
        ("EfficientNetV2S", "tf_efficientnetv2_s.in21k", (32, 64), (25, 7)),
    ],
    "part2": [
        ("ECA_NFNetL2", "eca_nfnet_l2.ra3_in1k", (16, 16), (12, 11)),
        ("convnext_base_in22k", "convnext_base.fb_in22k", (32, 16), (14, 6)),
        ("ResNetRS152", "resnetrs152.tf_in1k", (32, 32), (11, 16)),
        ("convnext_large_in22k", "convnext_large.fb_in22k", (16, 16), (15, 10)),
        ("RegNetZD8", "regnetz_d8.ra3_in1k", (32, 32), (5, 8)),
        ("EfficientNetB0", "efficientnet_b0.ra_in1k", (64, 32), (13, 10)),
        ("EfficientNetV2M", "tf_efficientnetv2_m.in21k", (32, 32), (15, 25)),
    ],
}
# Dotted key -> (part 1, part 2).
NUMBERS = {
    "part": (1, 2),
    "seed": (42, 42),
    "clip.seconds": (6.0, 8.0),
    "clip.pad": ("random", "zeros"),
    "logmel.mel_bins": (128, 256),
    "logmel.frames": (384, 512),
    "logmel.n_fft": (2048, 2048),
    "logmel.f_min_hz": (20.0, 20.0),
    "logmel.f_max_hz": (8000.0, 8000.0),
    "logmel.top_db": (80.0, 80.0),
    "augment.group_p": (0.8, 0.8),
    "augment.noise_p": (0.5, 0.5),
    "augment.noise_std": ((0.0025, 0.025), (0.0025, 0.025)),
    "augment.shift_p": (0.0, 0.0),
    "augment.reverse_p": (0.0, 0.0),
    "augment.mask_p": (0.75, 0.75),
    "augment.freq_mask_bins": (8, 16),
    "augment.time_mask_frames": (32, 64),
    "augment.jpeg_p": (0.5, 0.0),
    "augment.jpeg_quality": ((85, 95), (85, 95)),
    "augment.mixup_p": (0.65, 0.65),
    "augment.mixup_alpha": (2.5, 2.5),
    "augment.cutmix_p": (0.5, 0.0),
    "augment.cutmix_alpha": (2.5, 2.5),
    "logmel.normalise": ("none", "none"),
    "head_units": (64, 64),
    "train.focal_gamma": (0.0, 0.0),
    "train.soft_label_least": (0.0, 0.0),
    "train.soft_label_folds": (1, 1),
    "train.balance_classes": (False, False),
    "train.consistency": (0.0, 0.0),
    "train.label_smoothing": (0.05, 0.05),
    "train.lr_start": (5e-6, 5e-6),
    "train.lr_max": (1.15e-6, 1.05e-6),
    "train.lr_min": (0.95e-6, 0.85e-6),
    "train.warmup_epochs": (5, 5),
    "train.decay": (0.8, 0.8),
    "train.workers": (8, 8),
    "train.accumulate": (1, 1),
    "train.drop_rate": (0.0, 0.0),
    "tune.folds": (5, 5),
    "predict.crops": (1, 1),
}


def dotted(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for step in key.split("."):
        value = getattr(value, step)
    return value


def error(call: object, *args: object) -> str:
    with pytest.raises(RecipeError) as caught:
        call(*args)  # type: ignore[operator]
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("part", ["part1", "part2"])
def test_packaged_recipes_carry_the_methods_backbones(part: str) -> None:
    found = [(b.name, b.timm, b.batch, b.epochs) for b in load_recipe(part).backbones]
    assert found == BACKBONES[part]


@pytest.mark.parametrize("key", NUMBERS)
def test_packaged_recipes_carry_the_methods_numbers(key: str) -> None:
    assert (dotted(load_recipe("part1"), key), dotted(load_recipe("part2"), key)) == NUMBERS[key]


def test_the_hop_is_250_samples_in_both_parts() -> None:
    for part in ("part1", "part2"):
        recipe = load_recipe(part)
        assert recipe.clip_samples // (recipe.logmel.frames - 1) == 250


@pytest.mark.parametrize("name", [n for n in packaged() if n != "spcup"])
def test_a_packaged_recipe_reads_back_from_its_own_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert load_recipe(str(tmp_path / "r.yaml")) == recipe


def test_spcup_stands_for_both_parts_in_order() -> None:
    assert recipe_names("spcup") == ["part1", "part2"]
    assert recipe_names("part1") == ["part1"]


def test_a_list_of_recipes_is_not_a_recipe() -> None:
    assert "part1, part2" in error(load_recipe, "spcup")


@pytest.mark.parametrize("text", ["parts: []", "parts: part1", "parts: [1]", "parts: [part1]\nseed: 1"])
def test_a_damaged_list_of_recipes_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(text)
    assert "'parts'" in error(recipe_names, str(tmp_path / "l.yaml"))


def test_an_unknown_recipe_names_those_there_are() -> None:
    message = error(load_recipe, "part3")
    assert "'part3'" in message
    assert all(name in message for name in packaged())


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("trian.lr_max=1", ["'trian'", "train", "backbones", "clip"]),
        ("train.lr=1", ["'train.lr'", "lr_max", "lr_min", "label_smoothing"]),
        ("backbones.EfficientNetB0.epoch=3", ["backbones.0.epoch", "batch, epochs, name, seed, timm"]),
        ("clip.pad=left", ["clip.pad", "'zeros' or 'random'", "'left'"]),
        ("weights.source=net", ["weights.source", "'hub', 'folder', 'package' or 'random'", "'net'"]),
        ("weights.source=folder", ["weights", "weights.folder=PATH"]),
        ("augment.group_p=2", ["augment.group_p", "less than or equal to 1", "got 2"]),
        ("augment.jpeg_quality=[95, 85]", ["augment.jpeg_quality", "smaller number comes first"]),
        ("augment.jpeg_quality=[0, 85]", ["augment.jpeg_quality.0", "greater than or equal to 1"]),
        ("augment.noise_std=[0.2, 0.1]", ["augment.noise_std", "smaller number comes first"]),
        ("train.lr_max=.nan", ["train.lr_max", "finite"]),
        ("train.lr_max=fast", ["train.lr_max", "number", "'fast'"]),
        ("train.workers=some", ["train.workers", "integer", "'auto'", "'some'"]),
        ("logmel.frames=1", ["logmel.frames", "2"]),
        ("logmel.frames=100000", ["logmel.frames", "more frames than samples"]),
        ("logmel.f_min_hz=8000", ["logmel.f_min_hz", "below"]),
        ("logmel.f_max_hz=9000", ["logmel.f_max_hz", "8000"]),
        ("classes=[a, a]", ["classes", "different"]),
        ("backbones=[]", ["backbones", "at least 1"]),
        ("backbones.1.name=EfficientNetB0", ["backbones", "'EfficientNetB0' stands twice"]),
        ("backbones.0.name=../up", ["backbones.0.name", "'../up'"]),
        ("backbones.Nobody.timm=x", ["'Nobody'", "EfficientNetB0", "EfficientNetV2S"]),
        ("backbones.9.timm=x", ["'9'", "EfficientNetB0"]),
        ("train.consistency=1", ["train.consistency", "augment.mixup_p and augment.cutmix_p 0"]),
        ("train.focal_gamma=-1", ["train.focal_gamma", "0"]),
        ("logmel.normalise=std", ["logmel.normalise", "'none', 'mean' or 'pcen'", "'std'"]),
        ("seed.below=1", ["seed"]),
        ("clip.pad.below.it=1", ["'pad' is a value"]),
        ("seed", ["write key=value"]),
        ("=1", ["write key=value"]),
        ("seed=[1", ["not valid YAML"]),
        ("seed=2001-99-99", ["not valid YAML"]),
        ("seed=!!bool x", ["not valid YAML"]),
        ("seed=!!python/object/apply:os.getcwd []", ["not valid YAML"]),
        ("seed=" + "[" * 5000, ["not valid YAML"]),
        ("seed=" + "9" * 5000, ["not valid YAML"]),
    ],
)
def test_a_bad_override_is_one_line_naming_the_key_and_what_is_allowed(override: str, names: list[str]) -> None:
    message = error(load_recipe, "part1", [override])
    assert [name for name in names if name not in message] == []
    assert len(message) < 500


@pytest.mark.parametrize(
    ("recipe", "override", "said"),
    [
        (
            "wavlm",
            "logmel.kind=log_mel",
            "logmel.kind: torchaudio/wavlm_base_plus needs waveform, and is given log_mel",
        ),
        ("wavlm", "backbones.1.timm=resnet50d", "logmel.kind: resnet50d needs log_mel, and is given waveform"),
        ("part1", "backbones.2.timm=torchaudio/wavlm_base", "logmel.kind: torchaudio/wavlm_base needs waveform"),
        ("wavlm", "logmel.n_fft=512", "logmel.n_fft: is of a log-mel; leave it out with logmel.kind=waveform"),
        ("wavlm", "augment.mask_p=0.5", "augment.mask_p: is for log-mels; with logmel.kind=waveform it must be 0"),
        ("wavlm", "augment.jpeg_p=0.5", "augment.jpeg_p: is for log-mels"),
        ("wavlm", "augment.warp_p=0.5", "augment.warp_p: is for log-mels"),
    ],
)
def test_backbones_and_augmentation_fit_what_is_shown(recipe: str, override: str, said: str) -> None:
    assert said in error(load_recipe, recipe, [override])


def test_an_error_names_the_file_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("backbones: []\nseeds: 3\n")
    assert "mine.yaml" in error(load_recipe, str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("content", [b"", b"just text", b"- 1\n- 2\n", b"{a: [}", b"\xff\xfe\x00", b"seed: 2001-99-99"])
def test_a_file_that_is_no_recipe_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    assert "r.yaml" in error(load_recipe, str(tmp_path / "r.yaml"))


def test_a_recipe_without_classes_says_how_to_give_them() -> None:
    assert "--set 'classes=[" in error(load_recipe("part1").require_classes)


def test_a_backbone_is_found_by_name_or_named_among_the_others() -> None:
    recipe = load_recipe("part2")
    assert recipe.backbone("ResNetRS152").timm == "resnetrs152.tf_in1k"
    assert "EfficientNetV2M" in error(recipe.backbone, "VGG")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("train.lr_max=1e-5", "train.lr_max", 1e-5),
        ("train.lr_max=2.5E-6", "train.lr_max", 2.5e-6),
        ("train.workers=auto", "train.workers", "auto"),
        ("tune.use_folds=null", "tune.use_folds", None),
        ("augment.noise_std=[0.1, 0.2]", "augment.noise_std", (0.1, 0.2)),
        ("classes=[x, y, unknown]", "classes", ("x", "y", "unknown")),
        ("name=a=b", "name", "a=b"),
        ("weights={source: folder, folder: w}", "weights.folder", "w"),
    ],
)
def test_an_override_sets_one_key(override: str, key: str, value: object) -> None:
    assert dotted(load_recipe("part1", [override]), key) == value


@pytest.mark.parametrize("item", ["ResNet50D", "1"])
def test_a_backbone_is_overridden_by_name_or_place(item: str) -> None:
    recipe = load_recipe("part1", [f"backbones.{item}.epochs=[3, 4]", f"backbones.{item}.batch.0=5"])
    assert recipe.backbones[1].epochs == (3, 4)
    assert recipe.backbones[1].batch == (5, 64)
    assert recipe.backbones[0] == load_recipe("part1").backbones[0]


def test_of_two_overrides_of_a_key_the_last_holds() -> None:
    assert load_recipe("part1", ["seed=1", "seed=2"]).seed == 2


KEYS = st.sampled_from(
    ["seed", "train.lr_max", "train.workers", "backbones.0.epochs", "backbones.0", "backbones", "classes", "weights"]
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.text(alphabet="[]{},:&*!|>-'\"#% 0123456789.eE", max_size=20),
    st.sampled_from(
        ["!!int x", "!!timestamp x", "!!float x", "!!binary x", "0x", "0o9", "1:99", "&a [*a]", "=", "<<: 1"]
    ),
)


@given(st.lists(st.one_of(st.builds(lambda k, v: f"{k}={v}", KEYS, VALUES), st.text(max_size=30)), max_size=3))
def test_any_overrides_give_a_recipe_or_a_recipe_error(overrides: list[str]) -> None:
    try:
        recipe = load_recipe("quickstart", overrides)
    except RecipeError as err:
        assert str(err)
    else:
        assert build_recipe(yaml.safe_load(recipe.to_yaml())) == recipe


@given(st.text(alphabet="[]{},:&*!|>-'\"#% abc019.\n\t", max_size=60))
def test_yaml_text_gives_values_or_a_value_error(text: str) -> None:
    try:
        parse_yaml(text)
    except ValueError as err:
        assert len(str(err).splitlines()) <= 1


def test_a_written_recipe_tells_no_credentials() -> None:
    place = "s3://KEY:SECRET@bucket/w?region=x"
    recipe = load_recipe("part1", ["weights.source=folder", f"weights.folder={place}"])
    assert recipe.weights.folder == place
    assert yaml.safe_load(recipe.to_yaml())["weights"]["folder"] == "s3://bucket/w?region=x"
