"""`--runtime-env cluster/runtime-env.yaml`: what bare nodes install is what was sent, in the image's versions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.runtime_env.uv import _expand_env_vars, get_uri
from ray.dashboard.modules.dashboard_sdk import parse_runtime_env_args
from ray.runtime_env import RuntimeEnv

from tests.cluster.checkout import copy_checkout
from tests.cluster.definitions import CLUSTER, PROJECT

FILE = CLUSTER / "runtime-env.yaml"


def submitted(path: Path = FILE) -> dict[str, Any]:
    """The environment as `ray job submit` reads it and Ray accepts it."""
    read = parse_runtime_env_args(runtime_env=str(path), working_dir="gcs://_ray_pkg_0.zip")
    return dict(RuntimeEnv(**read))


def expanded(folder: Path) -> list[str]:
    """What a node gives to `uv pip install`, where the code that was sent lies in `folder`."""
    uv = submitted()["uv"]
    env = {"RAY_RUNTIME_ENV_CREATE_WORKING_DIR": str(folder)}
    return [_expand_env_vars(word, env) for word in (*uv["packages"], *uv["uv_pip_install_options"])]


def test_ray_accepts_it_and_gives_the_packages_time() -> None:
    found = submitted()
    assert found["working_dir"] == "gcs://_ray_pkg_0.zip"
    assert found["config"]["setup_timeout_seconds"] > 600


@pytest.mark.parametrize(
    ("before", "after"), [("packages:", "package:"), ("uv:", "uvs:"), ("setup_timeout_seconds: 1800", "setup: 1")]
)
def test_ray_refuses_or_drops_what_is_misspelt(tmp_path: Path, before: str, after: str) -> None:
    text = FILE.read_text()
    assert before in text
    (tmp_path / "x.yaml").write_text(text.replace(before, after))
    try:
        found = submitted(tmp_path / "x.yaml")
    except (ValueError, TypeError):
        return
    assert {"uv", "config"} - found.keys() or found["config"] != submitted()["config"]


def test_it_installs_the_folder_that_was_sent_in_the_versions_of_the_image(tmp_path: Path) -> None:
    sent = copy_checkout(tmp_path / "sent")
    package, option, constraints = expanded(sent)
    folder, extras = re.fullmatch(r"(.*)\[(.*)\]", package).groups()
    assert Path(folder) == sent and (sent / "pyproject.toml").is_file()
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    assert option == "--constraint"
    assert Path(constraints).read_text() == (CLUSTER / "constraints.txt").read_text()


def test_it_names_no_version_of_its_own() -> None:
    assert not re.search(r"[=<>~]=|\d+\.\d+", yaml.safe_dump(submitted()["uv"]))


def test_other_code_is_another_environment() -> None:
    found = submitted()
    assert get_uri(found) != get_uri({**found, "working_dir": "gcs://_ray_pkg_1.zip"})
