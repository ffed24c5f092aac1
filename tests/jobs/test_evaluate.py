"""`python -m jobs.evaluate`: what it prints, writes and returns."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from jobs import evaluate
from synatt import predictions
from tests.conftest import MakeModel
from tests.explainrun import write_predictions


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Predictions of six tracks, one of them failed, and labels of five; five of the six answers are right."""
    answer = [0, 1, 2, 0, 1, 2]
    outcomes = [predictions.Outcome(f"t{i}", f"t{i}.wav", 1.0, 16_000) for i in range(5)]
    outcomes.append(predictions.Outcome("t5", "t5.wav", error="missing: no such file"))
    probs = np.eye(3, dtype=np.float32)[answer] * 0.7 + 0.1
    pq.write_table(predictions.table(outcomes, probs, ("a", "b", "unknown"), "run-1"), tmp_path / "p.parquet")
    truth = {"track": ["t0", "t1", "t2", "t3", "t5"], "algorithm": [0, 1, 2, 1, 2], "level": list("wwssw")}
    pd.DataFrame(truth).to_csv(tmp_path / "l.csv")
    return ["--input", str(tmp_path / "p.parquet"), "--labels", str(tmp_path / "l.csv"), "--bootstrap", "50"]


def test_it_writes_metrics_tables_plots_and_the_page_and_says_where(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate.main([*inputs, "--output", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(out)
    assert "level" in printed.err
    assert "1 of 6 tracks have no true label" in printed.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["overall"]["accuracy"] == 0.75
    assert metrics["overall"]["accuracy_all"] == 0.6
    assert metrics["errors"] == {"missing": 1}
    assert metrics["settings"]["by"] == ["level"]
    assert {p.name for p in out.iterdir()} == {"metrics.json", "tables", "plots", "report.html"}
    assert pq.read_table(out / "tables" / "groups.parquet")["value"].to_pylist() == ["s", "w"]
    assert "<svg" in (out / "plots" / "by_level.svg").read_text()


def test_overlap_probe_and_thresholds_are_printed_and_kept(
    clip_paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = [i % 2 for i in range(12)]
    outcomes = [predictions.Outcome(f"t{i}", path, 1.0, 16_000) for i, path in enumerate(clip_paths)]
    probs = np.eye(3, dtype=np.float32)[truth] * 0.7 + 0.1
    pq.write_table(predictions.table(outcomes, probs, ("a", "b", "unknown"), "run-1"), tmp_path / "p.parquet")
    tracks = {"track": [f"t{i}" for i in range(12)], "label": truth, "text": [f"Sentence {i}." for i in range(12)]}
    pd.DataFrame(tracks).to_csv(tmp_path / "l.csv", index=False)
    (tmp_path / "m.csv").write_text("track,path,label,split,text\nx,/x.wav,0,train,sentence 3\n")
    options = ["--labels", str(tmp_path / "l.csv"), "--trained-on", str(tmp_path / "m.csv"), "--probe", "10"]
    given = ["--input", str(tmp_path / "p.parquet"), *options, "--error-rate", "0.2", "--bootstrap", "50"]
    assert evaluate.main([*given, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "overlap with training, in tracks: sentence 1 of 12" in said
    assert "shortcut probe: level, silence, bandwidth, duration alone: macro F1" in said
    assert "confidence >= 0.800 for 20.0% errors" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["settings"]["error_rate"] == 0.2
    assert (metrics["probe"]["n_sampled"], metrics["probe"]["n_read"]) == (10, 10)
    assert pq.read_table(tmp_path / "out" / "tables" / "overlap.parquet")["n_touched"].to_pylist()[3] == 1


def test_without_labels_it_counts(inputs: list[str], tmp_path: Path) -> None:
    assert evaluate.main([*inputs[:2], "--output", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["counts"]["unlabelled"] == 6
    assert metrics["overall"]["accuracy"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--by", "room"], "no column 'room' to group by"),
        (["--models", "{tmp}/nowhere"], "nowhere"),
        (["--curves", "{tmp}/l.csv"], "no column 'epoch'"),
        (["--labels", "{tmp}/l.csv"], "stand more than once in the true labels"),
        (["--trained-on", "{tmp}/nowhere.csv"], "nowhere.csv"),
        (["--explain", "1"], "explaining clips takes the models that answered: give --models PATH"),
        (["--explain-track", "t9", "--models", "{tmp}"], "no track 't9' to explain"),
        (["--map-backbone", "Big"], "no embeddings of 'Big' beside the predictions"),
    ],
)
def test_a_usage_error_is_one_line_exit_code_2_and_no_output(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    asked = [o.format(tmp=tmp_path) for o in options]
    assert evaluate.main([*inputs, *asked, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--error-rate", "0"],
        ["--error-rate", "5"],
        ["--probe", "-1"],
        ["--bootstrap", "-1"],
        ["--bootstrap", "many"],
        ["--no-such-option"],
        ["--explain", "21"],
    ],
)
def test_a_bad_option_exits_with_2(inputs: list[str], tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([*inputs, *options, "--output", str(tmp_path / "out")])
    assert stopped.value.code == 2


def test_it_explains_clips_and_draws_the_map_of_their_embeddings(
    make_model: MakeModel, clip_paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model("A")
    out = write_predictions(tmp_path / "out", [model], clip_paths)
    given = ["--input", out, "--labels", f"{out}/labels.csv", "--models", model, "--bootstrap", "0"]
    asked = ["--explain", "1", "--explain-track", "t12", "--map-backbone", "A"]
    assert evaluate.main([*given, *asked, "--output", str(tmp_path / "page")]) == 0
    assert "are not explained; the first: there is no answer to explain" in capsys.readouterr().err
    text = (tmp_path / "page" / "report.html").read_text()
    assert "<audio " in text and "<circle " in text
    assert pq.read_table(tmp_path / "page" / "tables" / "explanations.parquet").num_rows > 5
    assert (tmp_path / "page" / "tables" / "embedding_map.csv").exists()


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, jobs.evaluate as j\ntry:\n j.main(['--help'])\nexcept SystemExit:\n print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--labels" in done.stdout
    loaded = done.stdout.splitlines()[-1]
    assert not [name for name in ("numpy", "pandas", "pyarrow", "matplotlib", "ray", "torch") if f"'{name}'" in loaded]
