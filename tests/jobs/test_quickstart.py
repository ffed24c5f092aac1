"""The quickstart in miniature: real synthesizers, a tiny network, all stages."""

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("ray_local")

TINY = [
    "clip.seconds=1.0",
    "logmel={mel_bins: 32, frames: 64, n_fft: 512}",
    "weights.source=random",
    "tune={run: true, folds: 2, max_epochs: 1}",
    "backbones=[{name: Tiny, timm: test_efficientnet, batch: [16, 16], epochs: [1, 1]}]",
]


def test_the_quickstart_runs_every_stage_and_says_where_the_report_lies(job, tmp_path):
    for package in ("piper", "pyworld", "diffsptk", "espeakng_loader"):
        pytest.importorskip(package, reason="needs the packages of the extra 'quickstart'")
    overrides = [part for item in TINY for part in ("--set", item)]
    code, out, err = job("quickstart", "--output", tmp_path / "q", "--scale", "0.05", *overrides)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[-1] == str(tmp_path / "q" / "report" / "report.html")
    table = [line for line in lines if line.split()[:1] in (["clean"], ["weak"], ["strong"])]
    assert len(table) == 3
    truth = pd.read_parquet(tmp_path / "q" / "corpus" / "labels.parquet")
    answers = pd.read_parquet(tmp_path / "q" / "predictions" / "quickstart" / "predictions")
    assert set(truth.track) == set(answers.track) and (answers.status == "ok").all()
    rows = pd.read_parquet(tmp_path / "q" / "manifest" / "manifest.parquet")
    trained = set(rows[rows.split == "train"].generator)
    unknown = set(truth[truth.label == truth.label.max()].generator)
    assert len(trained) >= 7 and len(unknown) >= 3 and not trained & unknown
    assert rows[rows.split == "eval"].label.isna().all()

    again, out, err = job("quickstart", "--output", tmp_path / "q", "--scale", "0.05", *overrides)
    assert again == 0 and "to run" not in err and out.splitlines()[-1] == lines[-1]
