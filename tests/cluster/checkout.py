"""The files that git knows, as a fresh clone has them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.definitions import TOP


def copy_checkout(folder: Path) -> Path:
    """Write them to `folder`; skips the test where there is no git to ask."""
    if not (TOP / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (TOP / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, folder / name)
    return folder
