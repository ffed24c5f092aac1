"""The pipeline's stages as a list: which, in what order, and what makes one run again. No Ray."""

import json

import pytest

from synatt import manifest
from synatt.errors import UsageError
from synatt.pipeline import PipelineSettings, pipeline, plan_stages
from synatt.recipefile import load_recipe, recipe_names

CLASSES = ("a", "b", "unknown")


@pytest.fixture
def data(tmp_path):
    rows = [{"track": f"t{i}", "path": f"/nowhere/t{i}.wav", "label": i % 3, "split": "train"} for i in range(6)]
    rows += [{"track": f"e{i}", "path": f"/nowhere/e{i}.wav", "split": "eval", "part": 1 + i % 2} for i in range(4)]
    manifest.write(str(tmp_path / "data" / "manifest.parquet"), manifest.build(rows, CLASSES))
    (tmp_path / "truth.csv").write_text("track,label\ne0,1\n")
    return tmp_path


def settings(data, labels=True):
    return PipelineSettings((str(data / "data"),), labels=(str(data / "truth.csv"),) if labels else ())


def stages(data, recipes, **kwargs):
    return plan_stages(recipes, str(data / "out"), settings(data, **kwargs))


def test_both_parts_run_in_the_order_of_the_original(data):
    recipes = [load_recipe(name) for name in recipe_names("spcup")]
    assert [stage.name for stage in stages(data, recipes)] == [
        "prepare",
        "part1: supervised",
        "part2: supervised",
        "part1: soft labels",
        "part2: soft labels",
        "part1: semi-supervised",
        "part2: semi-supervised",
        "part1: predict",
        "part2: predict",
        "evaluate",
    ]


def test_tuning_joins_where_the_recipe_asks_for_it_and_evaluation_where_there_are_labels(data):
    names = [stage.name for stage in stages(data, [load_recipe("quickstart")], labels=False)]
    assert names == [
        "prepare",
        "quickstart: tune",
        "quickstart: supervised",
        "quickstart: soft labels",
        "quickstart: semi-supervised",
        "quickstart: predict",
    ]


def test_a_decision_is_fitted_anew_for_networks_that_learnt_from_soft_labels(data):
    made = {stage.name: stage for stage in stages(data, [load_recipe("robust")], labels=False)}
    assert list(made) == [
        "prepare",
        "robust: tune",
        "robust: supervised",
        "robust: soft labels",
        "robust: tune again",
        "robust: semi-supervised",
        "robust: predict",
    ]
    assert made["robust: tune again"].output != made["robust: tune"].output


@pytest.mark.parametrize(("parts", "rehearsed"), [(2, True), (1, False)])
def test_that_decision_is_rehearsed_where_soft_labels_are_cross_fitted(data, monkeypatch, parts, rehearsed):
    recipe = load_recipe("robust", [f"train.soft_label_folds={parts}"])
    made = {stage.name: stage for stage in stages(data, [recipe], labels=False)}
    asked = []
    monkeypatch.setattr("synatt.pipeline.tune", lambda *args, **kwargs: asked.append((args[2], args[3], kwargs)))
    monkeypatch.setattr("synatt.pipeline._soft", lambda paths: paths)
    monkeypatch.setattr(manifest, "read", lambda path: None)
    for name in ("robust: tune", "robust: tune again"):
        made[name].run()
    first, again = (made[name].output for name in ("robust: tune", "robust: tune again"))
    assert asked == [
        (first, 0, {"first_round": None}),
        (again, 1, {"first_round": first if rehearsed else None}),
    ]


def keys(data, *overrides):
    return {s.name: s.key for s in stages(data, [load_recipe("part1", overrides), load_recipe("part2")])}


def test_a_changed_recipe_redoes_its_own_stages_and_what_builds_on_them(data):
    before, after = keys(data), keys(data, "train.lr_max=2e-6")
    changed = {name for name in before if before[name] != after[name]}
    # Part 2's second stage learns from part 1's soft labels too.
    assert changed == set(before) - {"prepare", "part2: supervised", "part2: soft labels"}


def test_changed_data_redoes_everything_and_changed_labels_only_the_evaluation(data):
    before = keys(data)
    (data / "truth.csv").write_text("track,label\ne0,0\n")
    relabelled = keys(data)
    assert {name for name in before if before[name] != relabelled[name]} == {"evaluate"}
    rows = [{"track": "x", "path": "/nowhere/x.wav", "label": 0}]
    manifest.write(str(data / "data" / "manifest.parquet"), manifest.build(rows, CLASSES))
    changed = keys(data)
    assert all(relabelled[name] != changed[name] for name in before)


def test_two_recipes_of_one_part_are_refused(data):
    with pytest.raises(UsageError, match="different evaluation parts"):
        stages(data, [load_recipe("part1"), load_recipe("quickstart")])
    with pytest.raises(UsageError, match="two recipes are called"):
        stages(data, [load_recipe("part1"), load_recipe("part1", ["part=2"])])


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder: .*gone"):
        plan_stages([load_recipe("part1")], str(tmp_path), PipelineSettings((str(tmp_path / "gone"),)))


def test_finished_stages_are_said_and_not_run_again(data, caplog):
    caplog.set_level("INFO", logger="synatt")
    recipe, out = load_recipe("quickstart"), data / "out"
    for stage in stages(data, [recipe], labels=False):
        marker = out / "_stages" / (stage.name.replace(" ", "-").replace(":", "") + ".json")
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"key": stage.key, "done": True}))
    where = pipeline([recipe], str(out), settings(data, labels=False))
    assert where == str(out / "predictions")
    assert "  done       quickstart: predict" in caplog.text
    assert "to run" not in caplog.text
    assert not (out / "manifest").exists(), "a finished stage was run again"
