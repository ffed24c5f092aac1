"""`synatt.load(...).predict(...)`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import synatt
from synatt import predictions
from synatt.api import Attribution
from synatt.audio import load_audio
from synatt.errors import UsageError
from synatt.staging import Windows
from tests.conftest import CLASSES, MakeModel, make_tiny_recipe

ROOT = Path(__file__).parent.parent
NUMBERS = ["algorithm", "confidence", "unknown_score", *(f"p_{c}" for c in CLASSES)]


@pytest.fixture
def loaded(make_model: MakeModel) -> Attribution:
    # Clips shorter than the recordings, so that the place of the crop counts.
    short = {"clip": {"seconds": 0.4, "pad": "random"}, "predict": {"crops": 2}}
    return synatt.load(
        [make_model("A", recipe=make_tiny_recipe(name="A", **short)), make_model("B", 1)]  # type: ignore[arg-type]
    )


def test_a_path_and_the_array_of_it_give_equal_numbers(loaded: Attribution, clip_paths: list[str]) -> None:
    by_path = loaded.predict(clip_paths[:4])
    by_array = loaded.predict([load_audio(path).wave for path in clip_paths[:4]])
    for name in NUMBERS:
        assert by_path[name].tolist() == by_array[name].tolist(), name
    assert by_array["track"].tolist() == [f"array-{i}" for i in range(4)]


def test_a_clip_gets_the_same_answer_alone_among_others_and_under_another_name(
    loaded: Attribution, clip_paths: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other name.wav"
    other.write_bytes(Path(clip_paths[5]).read_bytes())
    alone = loaded.predict(str(other))
    among = loaded.predict(clip_paths, batch=5).iloc[[5]]
    np.testing.assert_allclose(alone[NUMBERS].to_numpy(float), among[NUMBERS].to_numpy(float), atol=1e-6)


def test_the_frame_has_the_columns_of_the_predictions_table_in_the_order_given(
    loaded: Attribution, clip_paths: list[str]
) -> None:
    order = [clip_paths[i] for i in (3, 0, 7)]
    found = loaded.predict(order, batch=2)
    assert list(found.columns) == predictions.schema(CLASSES).names
    assert found["track"].tolist() == order
    assert found["status"].tolist() == ["ok"] * 3
    np.testing.assert_allclose(found[[f"p_{c}" for c in CLASSES]].sum(axis=1), 1, atol=1e-5)


def test_tracks_are_the_keys_that_are_given(loaded: Attribution, clip_paths: list[str]) -> None:
    found = loaded.predict(clip_paths[:3], batch=2, tracks=["a", "b", "c"])
    assert found["track"].tolist() == ["a", "b", "c"]
    with pytest.raises(UsageError, match="^1 tracks for 3 recordings$"):
        loaded.predict(clip_paths[:3], tracks=["a"])


def test_what_cannot_be_used_is_a_row_that_says_why(loaded: Attribution, clip_paths: list[str]) -> None:
    found = loaded.predict(["/none.wav", clip_paths[0], np.zeros(100), np.ones((2, 5))])
    assert found["status"].tolist() == ["error", "ok", "error", "error"]
    assert [e.partition(":")[0] for e in found["error"].dropna()] == ["missing", "silent", "not_audio"]
    assert found["confidence"].isna().tolist() == [True, False, True, True]


def test_a_long_recording_gets_the_mean_over_its_windows(
    loaded: Attribution, speech_wave: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    sf.write(path, speech_wave[:40_000], 16_000, subtype="PCM_16")
    found = loaded.predict([path, "/none.wav"], windows=Windows(hop=0.5))
    assert found["status"].tolist() == ["ok", "error"]
    assert found["duration_s"][0] == 2.5
    # Windows are as long as the longest clip of a member, 1 s.
    each = loaded.predict([speech_wave[start : start + 16_000] for start in range(0, 24_001, 8_000)])
    p = [f"p_{c}" for c in CLASSES]
    np.testing.assert_allclose(found[p].iloc[0].to_numpy(float), each[p].to_numpy(float).mean(axis=0), atol=1e-6)


def test_one_recording_may_stand_alone(loaded: Attribution, clip_paths: list[str]) -> None:
    for one in (clip_paths[0], Path(clip_paths[0]), load_audio(clip_paths[0]).wave):
        assert loaded.predict(one)["status"].tolist() == ["ok"]


def test_nothing_gives_an_empty_frame_with_all_columns(loaded: Attribution) -> None:
    found = loaded.predict([])
    assert len(found) == 0
    assert list(found.columns) == predictions.schema(CLASSES).names


def test_the_answer_is_the_mean_of_the_members(make_model: MakeModel, clip_paths: list[str]) -> None:
    folders = [make_model("A"), make_model("B", 1)]
    p = [f"p_{c}" for c in CLASSES]
    each = [synatt.load(folder).predict(clip_paths[:3])[p].to_numpy() for folder in folders]
    both = synatt.load(folders).predict(clip_paths[:3])[p].to_numpy()
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)


def test_a_folder_of_models_is_the_ensemble_of_them(
    make_model: MakeModel, tmp_path: Path, clip_paths: list[str]
) -> None:
    folders = [make_model("A"), make_model("B", 1)]
    one, other = synatt.load(folders).predict(clip_paths[0]), synatt.load(tmp_path / "models").predict(clip_paths[0])
    assert one.equals(other)
    assert one["run"][0]


def test_a_place_without_models_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds none"):
        synatt.load(tmp_path)


def test_importing_synatt_loads_nothing_heavy() -> None:
    heavy = ("ray", "torch", "numpy", "pandas", "pyarrow", "timm", "sklearn", "matplotlib")
    code = f"import sys, synatt; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_method_is_used_without_ray() -> None:
    method = ("api", "training", "step", "ensemble", "selection", "manifest", "cli", "model")
    modules = (*method, "batch", "careful", "publish", "staging", "worklist")
    code = f"import sys; {'; '.join(f'import synatt.{m}' for m in modules)}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        synatt.nothing  # noqa: B018
