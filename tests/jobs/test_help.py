"""`--help` of every job tells its purpose, options and an example, and loads nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOBS = ("prepare", "tune", "train", "pseudo", "predict", "evaluate", "perturb", "enrol", "pipeline", "quickstart")
HEAVY = ("ray", "torch", "pandas", "pyarrow", "sklearn", "matplotlib", "timm")


@pytest.mark.parametrize("job", JOBS)
def test_help_shows_an_example_and_loads_nothing_heavy(job):
    code = (
        f"import sys; sys.argv = ['x', '--help']\nfrom jobs import {job}\n"
        f"try:\n    {job}.main()\nexcept SystemExit as stop:\n    print('exit', stop.code)\n"
        f"print('heavy', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "example:" in said and f"jobs.{job}" in said and "--output" in said
    assert said.splitlines()[-2:] == ["exit 0", "heavy []"]


@pytest.mark.parametrize("job", JOBS[:-1])
def test_a_missing_option_is_one_line_and_exit_2(job):
    done = subprocess.run([sys.executable, "-m", f"jobs.{job}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and f"python -m jobs.{job}: error:" in done.stderr
