"""All definitions name the versions that the package was built and tested with.

The exact ones are those of cluster/constraints.txt, which has to fit pyproject.toml. What happens to be installed may
be a later patch of the same series.
"""

import re
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.cluster.definitions import CLUSTER, DOCKERFILE, LAUNCHER, MANIFESTS, PINS, PROJECT, TOP

# Every file that names a version, as text: comments and commands have to be right too.
FILES = [
    *(CLUSTER / f"{name}.yaml" for name in LAUNCHER),
    *(CLUSTER / "kuberay" / f"{name}.yaml" for name in MANIFESTS),
    CLUSTER / "Dockerfile",
    CLUSTER / "README.md",
]
PYTHON = "3.11"


def tag(text: str) -> list[str]:
    return re.findall(r"/synatt:([\w.-]+)", text)


def wrong_tags(text: str) -> list[str]:
    """Tags of our image that are not what pyproject.toml and constraints.txt say."""
    right = f"{PROJECT['version']}-ray{PINS['ray']}-py{PYTHON.replace('.', '')}"
    return [found for found in tag(text) if found not in (f"{right}-cpu", f"{right}-cuda")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_image_tag_names_the_package_ray_and_python(path) -> None:
    text = path.read_text()
    assert tag(text)
    assert wrong_tags(text) == []


@pytest.mark.parametrize(("before", "after"), [("ray2.60.0", "ray2.59.0"), ("py311", "py312"), ("-cuda", "-gpu")])
def test_another_tag_is_found(before: str, after: str) -> None:
    text = (CLUSTER / "aws.yaml").read_text()
    assert before in text
    assert wrong_tags(text.replace(before, after))


@pytest.mark.parametrize("name", MANIFESTS)
def test_kuberay_is_told_the_version_of_ray(name: str) -> None:
    text = (CLUSTER / "kuberay" / f"{name}.yaml").read_text()
    assert re.findall(r'rayVersion: "(.*)"', text) == [PINS["ray"]]


def required() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *extras["launcher"], *extras["search"]]]


def outside(pins: dict[str, str]) -> list[str]:
    """Requirements of pyproject.toml that the pins leave out or break."""
    found = []
    for requirement in required():
        pinned = pins.get(canonicalize_name(requirement.name))
        if pinned is None or not requirement.specifier.contains(pinned):
            found.append(f"{requirement}: {pinned}")
    return found


def test_the_image_has_versions_that_the_package_allows() -> None:
    assert outside(PINS) == []


@pytest.mark.parametrize(("name", "version"), [("torch", "2.15.0"), ("ray", "2.61.0"), ("torchaudio", "2.10.0")])
def test_a_version_that_the_package_does_not_allow_is_found(name: str, version: str) -> None:
    assert any(found.startswith(name) for found in outside({**PINS, name: version}))
    assert any(found.startswith(name) for found in outside({k: v for k, v in PINS.items() if k != name}))


@pytest.mark.parametrize("name", ["ray", "torch", "torchaudio", "torchvision"])
def test_the_tests_run_on_the_series_that_the_image_has(name: str) -> None:
    assert Version(version(name)).release[:2] == Version(PINS[name]).release[:2]


def test_the_image_has_a_python_that_the_package_allows() -> None:
    bases = re.findall(r"^FROM python:(\d+\.\d+)\.\d+", DOCKERFILE, re.MULTILINE)
    assert set(bases) == {PYTHON}
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{PYTHON}.0")
    # The version that users are told to have.
    assert f"Python {PYTHON}" in (TOP / "README.md").read_text()


def test_definitions_name_no_package_index() -> None:
    hosts = re.compile(
        r"(pypi|pythonhosted|download\.pytorch|conda\.anaconda|registry\.npmjs|deb\.debian)", re.IGNORECASE
    )
    for path in [*FILES, CLUSTER / "constraints.txt", CLUSTER / "runtime-env.yaml"]:
        assert not hosts.search(path.read_text())
