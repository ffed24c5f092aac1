"""What a search may draw, what is refused in one line, and which sample wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.errors import UsageError
from synatt.searching import Draw, best_sample, parse_draw, with_values
from tests.conftest import make_tiny_recipe

RECIPE = make_tiny_recipe()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("train.lr_max=loguniform(1e-6, 1e-4)", Draw("train.lr_max", "loguniform", (1e-6, 1e-4))),
        ("train.label_smoothing=uniform(0, 0.2)", Draw("train.label_smoothing", "uniform", (0, 0.2))),
        ("train.warmup_epochs=randint(0, 6)", Draw("train.warmup_epochs", "randint", (0, 6))),
        ("clip.pad=choice(zeros, random)", Draw("clip.pad", "choice", ("zeros", "random"))),
        (
            "augment.jpeg_quality=choice([70, 90], [85, 95])",
            Draw("augment.jpeg_quality", "choice", ([70, 90], [85, 95])),
        ),
        ("head_units = choice(32, 64)", None),
    ],
)
def test_a_draw_is_read(text: str, wanted: Draw | None) -> None:
    if wanted is None:
        with pytest.raises(UsageError, match="head_units"):
            parse_draw(text, RECIPE)
    else:
        assert parse_draw(text, RECIPE) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr_max", r"write KEY=DRAW, where DRAW is one of uniform\(LOW, HIGH\)"),
        ("train.lr_max=1e-6", "write KEY=DRAW"),
        ("train.lr_max=normal(0, 1)", "write KEY=DRAW"),
        ("seed=randint(0, 9)", r"only keys that start with train\., augment\."),
        ("clip.read_s=uniform(1, 9)", "only keys that start with"),
        ("train.nothing=uniform(0, 1)", "the recipe has no such key"),
        ("train.lr_max.x=uniform(0, 1)", "the recipe has no such key"),
        ("train.lr_max=uniform(-1, 1)", r"train\.lr_max: Input should be greater than 0"),
        ("train.lr_max=uniform(2, 1)", "LOW must be below HIGH"),
        ("train.lr_max=loguniform(0, 1)", "LOW must be below HIGH and above 0"),
        ("train.lr_max=uniform(1)", r"uniform\(LOW, HIGH\) takes two numbers"),
        ("train.warmup_epochs=randint(0.5, 2)", r"randint\(LOW, HIGH\) takes two numbers"),
        ("clip.pad=choice(zeros)", "two choices or more"),
        ("clip.pad=choice(zeros, noise)", r"clip\.pad"),
        ("train.lr_max=uniform([)", "takes two numbers"),
    ],
)
def test_a_bad_draw_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as found:
        parse_draw(text, RECIPE)
    assert "\n" not in str(found.value)


@given(st.text(max_size=40))
def test_any_text_is_a_draw_or_a_usage_error(text: str) -> None:
    try:
        parse_draw(f"train.lr_max={text}", RECIPE)
    except UsageError:
        pass


def test_values_change_a_recipe_and_nothing_else() -> None:
    changed = with_values(RECIPE, {"train.lr_max": 5e-5, "clip.pad": "random"})
    assert (changed.train.lr_max, changed.clip.pad) == (5e-5, "random")
    assert with_values(changed, {"train.lr_max": RECIPE.train.lr_max, "clip.pad": RECIPE.clip.pad}) == RECIPE


def test_the_sample_whose_mean_over_the_folds_peaks_highest_wins() -> None:
    steady = {0: {1: 0.5, 2: 0.7}, 1: {1: 0.5, 2: 0.7}}
    # One fold alone is better, the mean is not; the last was stopped before its second fold had begun.
    uneven = {0: {1: 0.9, 2: 0.9}, 1: {1: 0.4, 2: 0.45}}
    number, choice = best_sample([uneven, steady, steady])
    assert (number, choice.epochs, choice.macro_f1) == (1, 2, pytest.approx(0.7))
    with pytest.raises(ValueError, match="no sample"):
        best_sample([{}])


@pytest.mark.parametrize(
    ("key", "draw"),
    [
        ("perturb_takes", "randint(1, 4)"),
        ("perturb_levels", "choice([weak], [strong])"),
        ("perturb_kinds", "choice([gain], [band])"),
        ("babble", "choice(true, false)"),
    ],
)
def test_what_decides_takes_is_fixed_before_a_search(key: str, draw: str) -> None:
    with_takes = make_tiny_recipe(augment={"perturb_takes": 2})
    with pytest.raises(UsageError, match=f"{key}: takes are made before a search"):
        parse_draw(f"augment.{key}={draw}", with_takes)
    if key != "perturb_takes":
        assert parse_draw(f"augment.{key}={draw}", RECIPE).key == f"augment.{key}"
    assert parse_draw("augment.perturb_p=uniform(0, 0.8)", with_takes).kind == "uniform"
