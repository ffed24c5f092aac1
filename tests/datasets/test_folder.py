"""Any folder of audio."""

from pathlib import Path

from synatt.datasets import Options
from synatt.datasets.collect import collect
from synatt.datasets.folder import source_names


def labels(found) -> dict[str, int | None]:
    return dict(zip(found.manifest.column("track"), found.manifest.column("label"), strict=True))


def test_sub_folders_are_classes_and_unknown_is_last(tmp_path: Path, put) -> None:
    root = tmp_path / "mine"
    put(root, ["vits/1.wav", "vits/deep/2.MP3", "aco/1.wav", "unknown/x.ogg", "zebra/n.flac"])
    found = collect([str(root)], ["auto"], Options(unknown=("zebra",)))
    assert found.problems.num_rows == 0
    assert found.manifest.classes == ("aco", "vits", "unknown")
    assert labels(found) == {
        "mine/aco/1.wav": 0,
        "mine/vits/1.wav": 1,
        "mine/vits/deep/2.MP3": 1,
        "mine/unknown/x.ogg": 2,
        "mine/zebra/n.flac": 2,
    }
    generators = dict(zip(found.manifest.column("track"), found.manifest.column("generator"), strict=True))
    assert generators["mine/zebra/n.flac"] == "zebra" and generators["mine/unknown/x.ogg"] is None


def test_a_flat_folder_is_unlabelled(tmp_path: Path, put) -> None:
    put(tmp_path / "in", ["a.wav", "b.wav"])
    (tmp_path / "in" / "empty").mkdir()
    found = collect([str(tmp_path / "in")], ["auto"], Options())
    assert found.manifest.classes is None
    assert labels(found) == {"in/a.wav": None, "in/b.wav": None}
    assert set(found.manifest.column("split")) == {"eval"} and set(found.manifest.column("fold")) == {None}


def test_sub_folders_need_not_be_classes(tmp_path: Path, put) -> None:
    put(tmp_path / "in", ["monday/a.wav", "b.wav"])
    found = collect([str(tmp_path / "in")], ["folder"], Options(unlabelled=True))
    assert labels(found) == {"in/b.wav": None, "in/monday/a.wav": None}


def test_audio_beside_class_folders_and_in_strange_ones_is_reported(tmp_path: Path, put) -> None:
    put(tmp_path / "in", ["a/1.wav", "b/1.wav", "c/1.wav", "loose.wav"])
    found = collect([str(tmp_path / "in")], ["folder"], Options(classes=("b", "a")))
    assert [(p["kind"], p["track"]) for p in found.problems.to_pylist()] == [
        ("file_without_label", "loose.wav"),
        ("unknown_label", "in/c/1.wav"),
    ]
    assert found.manifest.classes == ("b", "a", "unknown")
    assert labels(found) == {"in/a/1.wav": 1, "in/b/1.wav": 0}


def test_folders_of_one_name_are_told_apart_by_the_folder_above(tmp_path: Path, put) -> None:
    put(tmp_path / "x" / "clips", ["a.wav"])
    put(tmp_path / "y" / "clips", ["a.wav"])
    found = collect([str(tmp_path / "x" / "clips"), str(tmp_path / "y" / "clips")], ["auto"], Options())
    assert found.problems.num_rows == 0
    assert set(labels(found)) == {"x/clips/a.wav", "y/clips/a.wav"}
    assert source_names(["/p/a", "s3://b/a?x=1", "/q/c"]) == ["p/a", "b/a", "c"]
    assert source_names(["/p/a", "/p/a"]) == ["a", "a"]
