"""What `ray job submit --working-dir .` sends to the cluster, found by Ray's own packaging."""

import zipfile
from pathlib import Path

import pytest
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

from tests.cluster.checkout import copy_checkout

# Bytes of the package; some 750 KB are source.
LIMIT = 1_250_000
RECIPES = {f"synatt/recipes/{name}.yaml" for name in ("part1", "part2", "quickstart", "spcup")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


def uploaded(folder: Path) -> dict[str, int]:
    """Path -> bytes of every file of the package that Ray would send."""
    package = folder.parent / "package.zip"
    create_package(
        str(folder),
        package,
        include_gitignore=True,
        include_parent_dir=False,
        excludes=get_runtime_env_default_excludes(),
    )
    with zipfile.ZipFile(package) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def test_a_clean_checkout_sends_the_code_and_little_else(checkout: Path) -> None:
    files = uploaded(checkout)
    assert sum(files.values()) < LIMIT
    # It is stored, not packed: names and headers come to that.
    assert (checkout.parent / "package.zip").stat().st_size < LIMIT
    assert RECIPES <= files.keys()
    assert {
        "jobs/predict.py",
        "synatt/report/report.html.j2",
        "cluster/aws.yaml",
        # What bare nodes install it with.
        "cluster/constraints.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    } <= files.keys()
    sources = {str(path.relative_to(checkout)) for top in ("jobs", "synatt") for path in (checkout / top).rglob("*.py")}
    assert sources <= files.keys()
    assert not [name for name in files if name.startswith(("tests/", ".git/", ".ci/"))]


def clutter(folder: Path) -> set[str]:
    """Files that lie about after some work."""
    names = {
        "data/part1/a.wav",
        "quickstart/corpus/speech/a.flac",
        "quickstart/quickstart/supervised/model.safetensors",
        "runs/mine/predictions/part-0.parquet",
        "recordings/deep/a.mp3",
        "shards/000.tar",
        ".venv/lib/torch.py",
        ".mypy_cache/x.json",
        "dist/synatt.whl",
        "build/lib/synatt/x.py",
        "synatt/__pycache__/x.pyc",
        "synatt.egg-info/PKG-INFO",
        "tests/data/x.npz",
        "uv.lock",
    }
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 100)
    return names


def test_data_caches_and_build_products_stay(checkout: Path) -> None:
    names = clutter(checkout)
    assert not names & uploaded(checkout).keys()


def test_without_the_ignore_file_they_would_be_sent(checkout: Path) -> None:
    names = clutter(checkout)
    (checkout / ".rayignore").unlink()
    sent = names & uploaded(checkout).keys()
    assert {"data/part1/a.wav", "recordings/deep/a.mp3", "shards/000.tar", "tests/data/x.npz"} <= sent


def test_a_manifest_beside_the_code_is_sent(checkout: Path) -> None:
    (checkout / "manifest.parquet").write_bytes(b"x")
    (checkout / "recipe.yaml").write_text("x: 1")
    assert {"manifest.parquet", "recipe.yaml"} <= uploaded(checkout).keys()


def test_a_large_file_would_be_noticed(checkout: Path) -> None:
    (checkout / "synatt" / "large.py").write_bytes(b"#" * LIMIT)
    assert sum(uploaded(checkout).values()) > LIMIT
