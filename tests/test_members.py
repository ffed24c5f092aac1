"""The networks that backbones become, and the soft labels that each is taught."""

import numpy as np
import pytest

from synatt import manifest
from synatt.crossfit import TaughtTracks, track_keys
from synatt.errors import UsageError
from synatt.feed import Examples
from synatt.manifest import Manifest
from synatt.members import members, soft_label_folds, without
from synatt.openset import Confidence
from synatt.outliers import ORIGINAL
from tests.conftest import CLASSES, make_tiny_recipe

SOFT = [f"soft{i}" for i in range(5)]


def rows(tracks: list[str], **columns: object) -> Manifest:
    return manifest.build([{"track": t, "path": t, "label": 0, **columns} for t in tracks], CLASSES)


def test_without_cross_fitting_every_backbone_is_one_network_that_is_taught_all() -> None:
    recipe = make_tiny_recipe()
    (net,) = members(recipe, recipe.backbones, 1, rows(SOFT), {"Tiny": 7}, {"Tiny": Confidence(2.0)})
    assert (net.backbone, net.epochs, net.recipe.predict.temperature) == (recipe.backbones[0], 7, 2.0)
    assert (net.untaught, net.taught) == (frozenset(), None)
    everything = rows([*SOFT, "a"])
    assert net.rows(everything) is everything


def test_cross_fitted_soft_labels_give_a_network_for_each_fold() -> None:
    recipe = make_tiny_recipe(train={"soft_label_folds": 2})
    nets = members(recipe, recipe.backbones, 1, rows(SOFT), {"Tiny": 7}, {"Tiny": Confidence(2.0)})
    assert [net.backbone.name for net in nets] == ["Tiny-fold0", "Tiny-fold1"]
    assert [net.recipe.backbones for net in nets] == [(net.backbone,) for net in nets]
    assert [net.made_of for net in nets] == [*recipe.backbones] * 2
    assert [(net.epochs, net.recipe.predict.temperature) for net in nets] == [(7, 2.0)] * 2
    assert sorted([*nets[0].untaught, *nets[1].untaught]) == SOFT
    assert sorted(len(net.untaught) for net in nets) == [2, 3]
    fit = Examples(("a", *SOFT), np.eye(6, dtype=np.float32))
    for net in nets:
        # What it is taught and what it is not are all soft labels, and it is trained on all else.
        assert TaughtTracks(net.taught).among(track_keys(SOFT)).tolist() == [t not in net.untaught for t in SOFT]
        kept = [t for t in fit.tracks if t not in net.untaught]
        examples = net.examples(fit, rows(["a", *SOFT]))
        assert list(examples.tracks) == kept
        np.testing.assert_array_equal(examples.target, fit.target[[fit.tracks.index(t) for t in kept]])


def test_the_supervised_stage_has_no_soft_labels_to_cross_fit() -> None:
    recipe = make_tiny_recipe(train={"soft_label_folds": 2})
    assert [net.backbone.name for net in members(recipe, recipe.backbones, 0, None, {}, {})] == ["Tiny"]


def test_what_was_made_of_a_track_goes_with_it() -> None:
    made = manifest.concat([rows(["a", "b"]), rows(["lpc:a"], **{ORIGINAL: "a"}), rows(["lpc:b"], **{ORIGINAL: "b"})])
    assert without(made, frozenset({"a"})).column("track") == ["b", "lpc:b"]


def test_fewer_soft_labels_than_folds_are_refused() -> None:
    recipe = make_tiny_recipe(train={"soft_label_folds": 3})
    with pytest.raises(UsageError, match=r"^train.soft_label_folds=3: there are soft labels of 2 tracks only$"):
        soft_label_folds(recipe, rows(SOFT[:2]))
