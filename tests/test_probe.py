"""The shortcut probe on real speech: it finds a shortcut that is there, none that is not, and says what it did."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from synatt.probe import ALL, read_features, run_probe
from synatt.probescores import bar_for, probe_frame
from synatt.shortcuts import FEATURES
from synatt.trained import Trained
from tests.scoredrows import rows, scorer


@pytest.fixture(scope="module")
def loud_and_quiet(tmp_path_factory: pytest.TempPathFactory, golden: dict[str, np.ndarray]) -> list[str]:
    """Sixty 1 s cuts of real speech, every other one 20 dB quieter, some cuts of the same words."""
    folder = tmp_path_factory.mktemp("levels")
    whole = np.concatenate([golden["pcm16_6s"], golden["pcm16_8s"]]) / 32768
    starts = np.random.default_rng(1).integers(0, len(whole) - 16_000, 60)
    for i, start in enumerate(starts):
        sf.write(folder / f"{i:02d}.wav", whole[start : start + 16_000] * (0.8 if i % 2 else 0.08), 16_000)
    return [str(folder / f"{i:02d}.wav") for i in range(60)]


def test_a_class_that_is_quieter_is_told_by_its_level_alone_and_flagged(loud_and_quiet: list[str]) -> None:
    truth = [i % 2 for i in range(60)]
    scored = rows(truth, path=loud_and_quiet, speaker=[f"s{i % 10}" for i in range(60)])
    probe = run_probe(scored, None, 1000, 0)
    assert probe.reason is None
    assert (probe.n_sampled, probe.n_read) == (60, 60)
    assert probe.how.startswith("cross-validated within the evaluated tracks, 5 folds, speakers kept apart")
    assert (probe.answers["level"] == scored.truth).mean() > 0.9
    table = probe_frame(scored, probe, [], scorer()).set_index("family")
    assert table.loc["level", "flagged"] == "yes"
    assert table.loc[ALL, "chance"] == 0.5
    assert table.loc[ALL, "probe_macro_f1_low"] <= table.loc[ALL, "probe_macro_f1"]


def test_classes_without_a_shortcut_are_not_flagged(loud_and_quiet: list[str]) -> None:
    truth = np.random.default_rng(4).integers(0, 2, 60)
    scored = rows(truth, path=loud_and_quiet, level=["w" if i % 3 else "s" for i in range(60)])
    table = probe_frame(scored, run_probe(scored, None, 1000, 0), ["level"], scorer())
    assert set(table["flagged"]) == {"no"}
    assert table["probe_macro_f1"].max() < 0.75
    assert table["value"].tolist()[-2:] == ["s", "w"]


def test_a_shortcut_learned_from_training_rows_is_tried_on_the_evaluated_ones(loud_and_quiet: list[str]) -> None:
    truth = [i % 2 for i in range(60)]
    hard = pd.DataFrame({"track": [f"x{i}" for i in range(30)], "path": loud_and_quiet[:30], "label": truth[:30]})
    soft = pd.DataFrame({"track": []})
    scored = rows(truth[30:], path=loud_and_quiet[30:])
    probe = run_probe(scored, Trained(("m",), hard, soft), 1000, 0)
    assert probe.how == "fitted on 30 training rows"
    assert (probe.answers["level"] == scored.truth).mean() > 0.9
    lacking = Trained(("m",), hard[hard["label"] == 0], soft)
    assert "lack a class" in run_probe(scored, lacking, 1000, 0).how
    nowhere = Trained(("m",), hard.assign(path="/nowhere.wav"), soft)
    found = run_probe(scored, nowhere, 1000, 0)
    assert "none of the 30 recordings could be read" in found.how
    assert found.unreadable["missing"] == 20 and found.unreadable["not tried"] == 10
    pathless = Trained(("m",), hard.drop(columns="path"), soft)
    assert "have no path or label" in run_probe(scored, pathless, 1000, 0).how


def test_unreadable_recordings_are_counted_and_stop_nothing(loud_and_quiet: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    paths = [*loud_and_quiet[:20], str(tmp_path / "bad.wav"), str(tmp_path / "gone.wav"), None]
    values, faults = read_features(paths)
    assert values.shape == (23, len(FEATURES))
    assert np.isnan(values).any(1).tolist() == [False] * 20 + [True] * 3
    assert faults == {"not_audio": 1, "missing": 1, "no path": 1}
    probe = run_probe(rows([i % 2 for i in range(23)], path=paths), None, 1000, 0)
    assert (probe.n_sampled, probe.n_read, len(probe.rows)) == (23, 20, 20)


def test_when_no_recording_can_be_reached_it_says_so_after_a_few() -> None:
    probe = run_probe(rows([0, 1] * 50), None, 1000, 0)
    assert probe.reason == "none of the 100 recordings could be read (80 not tried, 20 missing)"
    assert not probe.answers
    assert len(probe_frame(rows([0, 1] * 50), probe, [], scorer())) == 0


def test_it_can_be_left_out_and_needs_two_classes(loud_and_quiet: list[str]) -> None:
    assert run_probe(rows([0, 1]), None, 0, 0).reason == "not asked for (--probe 0)"
    one = run_probe(rows([0] * 12, path=loud_and_quiet[:12]), None, 1000, 0)
    assert one.reason == "fewer than two classes have 5 recordings that could be read"
    few = run_probe(rows([0] * 10 + [1] * 10 + [2], path=loud_and_quiet[:21]), None, 1000, 0)
    assert few.left_out == (2,) and len(few.rows) == 20
    assert run_probe(rows([]), None, 1000, 0).reason == "none of the 0 recordings could be read (there are none)"


def test_a_class_with_a_single_speaker_is_probed_all_the_same(loud_and_quiet: list[str]) -> None:
    truth = [i % 2 for i in range(40)]
    # Kept in one fold, this speaker would leave nothing of class 0 to learn from.
    speakers = ["a" if t == 0 else f"s{i}" for i, t in enumerate(truth)]
    probe = run_probe(rows(truth, path=loud_and_quiet[:40], speaker=speakers), None, 1000, 0)
    assert set(probe.answers[ALL]) == {0, 1}
    assert run_probe(rows(truth, path=loud_and_quiet[:40]), None, 1000, 0).how.endswith("no speakers given")


def test_a_group_of_one_class_is_not_probed(loud_and_quiet: list[str]) -> None:
    truth = [i % 2 for i in range(60)]
    scored = rows(truth, path=loud_and_quiet, generator=[f"g{t}" for t in truth])
    table = probe_frame(scored, run_probe(scored, None, 1000, 0), ["generator"], scorer())
    groups = table[table["column"] == "generator"]
    assert groups["n"].tolist() == [30, 30]
    assert groups[["chance", "bar", "probe_macro_f1", "models_macro_f1", "flagged"]].isna().all(None)


@pytest.mark.parametrize(("models", "chance", "bar"), [(0.9, 0.1, 0.5), (1.0, 0.5, 0.75), (0.1, 0.2, 0.2)])
def test_the_bar_is_half_way_from_chance_to_the_models(models: float, chance: float, bar: float) -> None:
    assert bar_for(models, chance) == pytest.approx(bar)
