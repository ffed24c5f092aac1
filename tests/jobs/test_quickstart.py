"""The quickstart with few clips: real synthesizers, the shipped recipe, all stages."""

import pandas as pd


def test_the_quickstart_runs_every_stage_and_says_where_the_report_lies(quickstart):
    assert quickstart.code == 0, quickstart.err
    lines = quickstart.out.splitlines()
    assert lines[-1] == "quickstart/report/report.html"
    table = [line for line in lines if line.split()[:1] in (["clean"], ["weak"], ["strong"])]
    assert len(table) == 3
    made = quickstart.folder / "quickstart"
    assert (made / "report" / "report.html").is_file()
    truth = pd.read_parquet(made / "corpus" / "labels.parquet")
    answers = pd.read_parquet(made / "predictions" / "quickstart" / "predictions")
    assert set(truth.track) == set(answers.track) and (answers.status == "ok").all()
    rows = pd.read_parquet(made / "manifest" / "manifest.parquet")
    trained = set(rows[rows.split == "train"].generator)
    unknown = set(truth[truth.label == truth.label.max()].generator)
    assert len(trained) >= 7 and len(unknown) >= 3 and not trained & unknown
    assert rows[rows.split == "eval"].label.isna().all()


def test_the_same_line_again_finds_everything_done(quickstart, job, monkeypatch):
    monkeypatch.chdir(quickstart.folder)
    code, out, err = job("quickstart", *quickstart.argv)
    assert code == 0 and "to run" not in err and "to resume" not in err
    assert out.splitlines()[-1] == "quickstart/report/report.html"
