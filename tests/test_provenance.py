"""A fingerprint is another one where a setting decides what is trained, and the same where it does not."""

import pytest

from synatt import manifest
from synatt.provenance import fingerprint
from tests.conftest import CLASSES, make_tiny_recipe

ROWS = manifest.build([{"track": "a", "path": "/a.wav", "label": 0, "split": "train"}], CLASSES)


def of(**changes: object) -> str:
    recipe = make_tiny_recipe(**changes)
    return fingerprint(ROWS, recipe, recipe.backbones[0], 0, 3)


@pytest.mark.parametrize("changes", [{"augment": {"perturb_takes": 2}}, {"seed": 7}, {"train": {"drop_rate": 0.1}}])
def test_what_decides_a_model_changes_its_fingerprint(changes: dict[str, object]) -> None:
    assert of(**changes) != of()


@pytest.mark.parametrize("name", ["threads", "max_failures"])
def test_how_a_training_runs_does_not(name: str) -> None:
    assert of(train={name: 1}) == of(train={name: 2})
