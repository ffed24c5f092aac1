"""The examples that `--help` shows are run word for word, in a folder laid out as they expect."""

import io
import shlex
import shutil
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

JOBS = ("prepare", "tune", "train", "pseudo", "predict", "evaluate", "perturb", "enrol", "pipeline")


def shown(job: str) -> list[list[str]]:
    """The words of each command below 'example:' in the help of a job."""
    text = io.StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        import_module(f"jobs.{job}").main(["--help"])
    commands = text.getvalue().partition("example:\n")[2].replace("\\\n", " ")
    return [shlex.split(line) for line in commands.splitlines() if line.strip()]


EXAMPLES = [pytest.param(job, words, id=f"{job}-{i}") for job in JOBS for i, words in enumerate(shown(job))]


@pytest.fixture(scope="module")
def tree(quickstart, spcup) -> Path:
    """What the quickstart leaves, and beside it a data folder, a database, and clips with protocol files."""
    folder = quickstart.folder
    shutil.copytree(spcup, folder / "data")
    for name, lines in {
        "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt": ["LA_0079 LA_T_1271820 - A01 spoof"],
        "trn.txt": ["s1 c1 - A01 spoof", "s1 c2 - A02 spoof"],
        "trl.txt": ["s2 c3 - - bonafide"],
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    speech = next((spcup / "training").glob("*.wav")).read_bytes()
    for name in ("LA/ASVspoof2019_LA_train/flac/LA_T_1271820.wav", "clips/c1.wav", "clips/c2.wav", "clips/c3.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(speech)
    made = folder / "quickstart"
    shutil.copytree(made / "predictions" / "quickstart", folder / "out")
    pd.read_parquet(made / "corpus" / "labels.parquet").to_csv(folder / "labels.csv", index=False)
    # The pipeline's example is the quickstart's own: let something be missing.
    (made / "_stages" / "evaluate.json").unlink()
    shutil.rmtree(made / "report")
    return folder


@pytest.mark.parametrize(("name", "words"), EXAMPLES)
def test_an_example_of_the_help_runs_word_for_word(job, tree, monkeypatch, name, words):
    assert words[:3] == ["python", "-m", f"jobs.{name}"]
    monkeypatch.chdir(tree)
    code, out, err = job(name, *words[3:])
    assert code == 0, err
    assert Path(out.splitlines()[-1]).exists(), out


def test_every_job_shows_one():
    assert {param.values[0] for param in EXAMPLES} == set(JOBS)
