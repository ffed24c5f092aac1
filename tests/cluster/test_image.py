"""The image's definition: linted, unprivileged, pinned, and built from a small context."""

import fnmatch
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.cluster.definitions import DOCKERFILE, TOP

HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"


def lint(text: str) -> list[str]:
    """Codes of what hadolint finds."""
    done = subprocess.run([HADOLINT, "--no-color", "-"], input=text, capture_output=True, text=True)
    return re.findall(r"\b(?:DL|SC)\d{4}\b", done.stdout)


def faults(text: str) -> list[str]:
    """What hadolint leaves to taste, and this image does not."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found = []
    stages = re.findall(r"^FROM\s+(\S+)(?:\s+AS\s+(\S+))?", text, re.MULTILINE)
    own = {name for _, name in stages}
    for base, _ in stages:
        stage = re.sub(r"\$\{VARIANT\}", "cpu", base)
        if stage not in own and not re.search(r":\d+\.\d+\.\d+", base):
            found.append(f"{base}: no exact version")
    users = re.findall(r"^USER\s+(\S+)", text, re.MULTILINE)
    # A number, so that Kubernetes can tell that it is not root.
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        found.append("runs as root")
    if re.search(r"^ADD\s", text, re.MULTILINE):
        found.append("ADD may fetch or unpack")
    for run in re.findall(r"^RUN\s+(.*)", text, re.MULTILINE):
        if "apt-get install" in run and "--no-install-recommends" not in run:
            found.append("apt-get without --no-install-recommends")
        if re.search(r"\b(curl|wget)\s+\S*http", run):
            found.append("fetches from the network besides packages")
    return found


def test_the_linter_finds_nothing() -> None:
    assert lint(DOCKERFILE) == []
    assert faults(DOCKERFILE) == []


def test_what_is_ignored_is_ignored_by_name() -> None:
    codes = re.findall(r"hadolint ignore=(\S+)", DOCKERFILE)
    assert set(codes) == {"DL3006", "DL3008", "DL3013", "DL3042"}


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("FROM python:3.11.14-slim-bookworm AS base", "FROM python AS base", "DL3006"),
        (" --no-install-recommends", "", "DL3015"),
        ("USER 1000:1000", "USER root", "DL3002"),
        ("COPY synatt synatt", "ADD synatt synatt", "DL3020"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        ("    && rm -rf /var/lib/apt/lists/*\n", "    && true\n", "DL3009"),
    ],
)
def test_the_linter_finds_what_is_wrong(before: str, after: str, code: str) -> None:
    assert before in DOCKERFILE
    assert code in lint(DOCKERFILE.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("python:3.11.14-slim-bookworm AS base", "python:3.11-slim AS base", "no exact version"),
        ("python:3.11.14-slim-bookworm AS base", "python:latest AS base", "no exact version"),
        ("USER 1000:1000\n", "", "root"),
        ("USER 1000:1000", "USER 0", "root"),
        ("USER 1000:1000", "USER synatt", "root"),
        ("COPY synatt synatt", "ADD https://example.com/x.tar /x", "ADD"),
        (" --no-install-recommends", "", "--no-install-recommends"),
    ],
)
def test_our_own_check_finds_what_is_wrong(before: str, after: str, fault: str) -> None:
    assert before in DOCKERFILE
    assert any(fault in found for found in faults(DOCKERFILE.replace(before, after)))


def sent(path: str) -> bool:
    """Whether .dockerignore lets a file or folder into the build; the last line that fits decides."""
    kept = True
    for line in (TOP / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            rule = line.removeprefix("!").removeprefix("**/")
            parts = path.split("/")
            heads = ["/".join(parts[: i + 1]) for i in range(len(parts))] + (parts if "**/" in line else [])
            if any(fnmatch.fnmatchcase(head, rule) for head in heads):
                kept = line.startswith("!")
    return kept


def test_the_build_gets_what_it_copies() -> None:
    for words in re.findall(r"^COPY\s+(.*)", DOCKERFILE, re.MULTILINE):
        for source in words.split()[:-1]:
            assert (TOP / source).exists()
            assert sent(source), f"{source} is copied, but .dockerignore keeps it out"


@pytest.mark.parametrize(
    "path",
    ["tests/data/golden_logmel.npz", "quickstart/corpus/a.wav", ".git/config", ".venv/bin/python", "runs/x", "a.wav"],
)
def test_the_build_gets_nothing_else(path: str) -> None:
    assert not sent(path)
    assert not sent("synatt/__pycache__/x.pyc")


def test_the_autoscaler_and_kuberay_find_the_programs_they_call() -> None:
    # ssh and rsync set up workers, wget is in the probes of pods, bash runs every command.
    install = re.search(r"apt-get install ([^&]*)", DOCKERFILE)
    assert install and {"openssh-client", "rsync", "wget"} <= set(install[1].split())
    assert "ENV HOME=" in DOCKERFILE


def test_nodes_keep_idle_workers_as_a_local_ray_does() -> None:
    """A node's Ray reads it when it starts, before any job comes."""
    session = (Path(__file__).resolve().parents[2] / "synatt" / "distributed" / "session.py").read_text()
    name = "RAY_idle_worker_killing_time_threshold_ms"
    (here,) = re.findall(rf'"{name}", "(\d+)"', session)
    assert re.findall(rf"{name}=(\d+)", DOCKERFILE) == [here]


def test_no_secret_is_built_in() -> None:
    assert not re.search(r"(?i)(secret|password|token|aws_access|credential)", DOCKERFILE)
