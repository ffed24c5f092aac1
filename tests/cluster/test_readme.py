"""The figures and names of cluster/README.md."""

import re
from importlib import import_module

import pytest

from tests.cluster.definitions import CLUSTER, TOP

TEXT = (CLUSTER / "README.md").read_text()
CLIPS_PER_CORE, CLIP_S = 111.5, 4.0


def rows() -> list[tuple[float, ...]]:
    """(price, efficiency, per hour, per 10 million clips) of each row of the cost table."""
    pattern = r"^\|[^|]*\| ([\d.]+) USD \| ([\d.]+) \| ([\d.]+) USD \| ([\d.]+) USD \|$"
    return [tuple(map(float, row)) for row in re.findall(pattern, TEXT, re.MULTILINE)]


def test_there_are_costs() -> None:
    assert len(rows()) == 3


@pytest.mark.parametrize("row", rows())
def test_costs_follow_from_the_formula(row: tuple[float, ...]) -> None:
    price, efficiency, per_hour, per_ten_million = row
    hour = price / (CLIPS_PER_CORE * CLIP_S * efficiency)
    assert per_hour == pytest.approx(hour, abs=5e-7)
    assert per_ten_million == pytest.approx(hour * 1e7 * CLIP_S / 3600, abs=5e-3)


def test_the_measured_rate_is_the_one_of_the_main_readme() -> None:
    (both,) = re.findall(r"\| `predict`, once started \| (\d+),", (TOP / "README.md").read_text())
    assert float(both) == 2 * CLIPS_PER_CORE
    assert f"clips/s per core: {CLIPS_PER_CORE}, measured ({both} on 2 cores" in TEXT


def test_every_definition_is_in_the_table() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file() and path.suffix != ".pyc" and path.name != "README.md":
            assert f"`{path.relative_to(CLUSTER)}`" in TEXT


def test_every_job_is_called_as_its_help_says() -> None:
    commands = re.findall(r"python -m jobs\.(\w+) ((?:--?[\w-]+ \S+\s*)+)", TEXT.replace("\\\n", " "))
    assert {name for name, _ in commands} >= {"predict", "train"}
    for name, options in commands:
        import_module(f"jobs.{name}").parser().parse_args(options.split())


def test_every_file_named_in_a_command_exists() -> None:
    for name in re.findall(r"(?<![\w/])cluster/[\w./-]+\w", TEXT):
        assert (TOP / name).exists() or (TOP / "tests" / name).exists(), name
