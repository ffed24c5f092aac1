"""What `train` says before any training."""

from pathlib import Path

from synatt.fitting import strangers
from tests.conftest import MakeModel


def test_models_of_other_settings_beside_those_of_a_run_are_named(make_model: MakeModel, tmp_path: Path) -> None:
    folder = Path(make_model(below="models"))
    output = str(folder.parent)
    (folder.parent / "_clips").mkdir()
    assert strangers(output, {folder.name}) == []
    assert strangers(output, {f"{folder.name}-fold0"}) == [folder.name]
    assert strangers(str(tmp_path / "nothing yet"), {"any"}) == []
