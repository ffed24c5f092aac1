"""From model folders and a folder of clips to model folders that answer with the new class."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

import synatt
from synatt import manifest
from synatt.enrolling import TABLE, enrol
from synatt.errors import UsageError
from synatt.model import load_model, save_model
from synatt.neighbours import Neighbours
from tests.conftest import CLASSES, MakeModel


@pytest.fixture
def old(clip_paths: list[str]) -> manifest.Manifest:
    rows = [{"track": f"t{i}", "path": path, "label": i % 6, "split": "train"} for i, path in enumerate(clip_paths)]
    return manifest.build(rows, tuple(CLASSES))


@pytest.fixture
def beeps(tmp_path: Path) -> Path:
    """Twelve clips unlike speech, one of them broken."""
    folder = tmp_path / "beeps"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        tone = np.sign(np.sin(2 * np.pi * (900 + 20 * i) * np.arange(16_000) / 16_000)) * 0.3
        sf.write(folder / f"b{i}.wav", tone + 0.001 * rng.standard_normal(16_000), 16_000)
    (folder / "b0.wav").write_bytes(b"RIFF")
    return folder


def test_the_new_class_is_answered_and_the_rest_of_the_model_stays(
    old: manifest.Manifest, beeps: Path, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model()
    out = Path(enrol([folder], {"beep": str(beeps)}, old, str(tmp_path / "out")))
    (made,) = [p for p in out.iterdir() if p.is_dir()]
    before, after = load_model(folder), load_model(str(made))
    assert after.recipe.classes == (*CLASSES[:-1], "beep", "unknown")
    kept = after.net.state_dict()
    for name, value in before.net.state_dict().items():
        if not name.startswith("classify"):
            assert value.equal(kept[name]), name
    assert before.net.classify.weight[:5].equal(after.net.classify.weight[:5])
    assert before.net.classify.weight[5].equal(after.net.classify.weight[6])
    answers = synatt.load(str(made)).predict([str(p) for p in sorted(beeps.glob("*.wav"))[2:]] + old.column("path"))
    assert (answers.algorithm_name[:10] == "beep").mean() > 0.8
    assert (answers.algorithm_name[10:] == "beep").mean() < 0.3
    table = pd.read_parquet(out / TABLE)
    assert set(table.clips) == {5} and set(table.new_class) == {"beep"} and table.recall.between(0, 1).all()


def test_a_model_takes_the_new_clips_among_its_neighbours(
    old: manifest.Manifest, beeps: Path, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model()
    bare = load_model(folder)
    known = Neighbours(np.random.default_rng(0).normal(size=(30, 64)).astype(np.float32))
    save_model(folder, bare.net, bare.recipe, {}, [], known)
    after = load_model(str(Path(enrol([folder], {"beep": str(beeps)}, old, str(tmp_path / "out"))) / "Tiny"))
    # Eleven clips can be read; each is there as it is and at three levels of perturbation.
    assert after.neighbours is not None and len(after.neighbours) == 30 + 11 * 4
    np.testing.assert_array_equal(after.neighbours.vectors_TE[:30], known.vectors_TE)


def test_what_cannot_be_enrolled_is_one_line(
    old: manifest.Manifest, beeps: Path, make_model: MakeModel, tmp_path: Path
) -> None:
    folder, out = make_model(), str(tmp_path / "out")
    with pytest.raises(UsageError, match="is known already"):
        enrol([folder], {CLASSES[0]: str(beeps)}, old, out)
    with pytest.raises(UsageError, match="no labelled training row of class"):
        enrol([folder], {"beep": str(beeps)}, old.where(np.arange(12) % 6 != 2), out)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.wav").write_bytes(b"no audio")
    with pytest.raises(UsageError, match="no clip of 'bad' .* can be read"):
        enrol([folder], {"bad": str(tmp_path / "bad")}, old, out)
