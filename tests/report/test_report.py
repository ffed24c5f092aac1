"""The page as a reader gets it: in headless Chromium, over many kinds of evaluation, and as plain text."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from synatt import predictions
from synatt.evaluation import Evaluation, evaluate
from synatt.report import render
from synatt.report.curves import CurveError, read_curves

CLASSES = ("formant", "diphone", "<b>bold</b> & $x$", "unknown")
HOSTILE = "<script>alert(1)</script>"
Build = Callable[..., Evaluation]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build_evaluation(
        answer: Sequence[int | None],
        truth: Sequence[int | None],
        tracks: Sequence[str] | None = None,
        paths: Sequence[str] | None = None,
        classes: tuple[str, ...] = CLASSES,
        trained_on: str | None = None,
        **columns: Sequence[Any],
    ) -> Evaluation:
        rng = np.random.default_rng(5)
        names = tracks or [f"clip-{i:03d}.flac" for i in range(len(answer))]
        probs = rng.dirichlet(np.ones(len(classes)), len(answer)).astype(np.float32)
        for row, index in zip(probs, answer, strict=True):
            row[index or 0] += 1.0 + rng.random()
        outcomes = [
            predictions.Outcome(name, place, 2.0, 16_000, "silent: every sample is zero" if a is None else None)
            for name, place, a in zip(names, paths or [f"/audio/{n}" for n in names], answer, strict=True)
        ]
        probs /= probs.sum(1, keepdims=True) if len(probs) else 1
        path = tmp_path / "predictions.parquet"
        pq.write_table(predictions.table(outcomes, probs, classes, "ensemble-1/run-1"), path)
        labels = pd.DataFrame({"track": names, "label": truth, **columns})
        labels.to_csv(tmp_path / "labels.csv", index=False)
        seen = []
        if trained_on is not None:
            (tmp_path / "seen.csv").write_text(trained_on)
            seen = [str(tmp_path / "seen.csv")]
        return evaluate([str(path)], [str(tmp_path / "labels.csv")], bootstrap=200, trained_on=seen)

    return build_evaluation


@pytest.fixture
def full(build: Build) -> Evaluation:
    """A typical evaluation: mistakes, a failed and an unlabelled track, groups, and names that try to be markup."""
    rng = np.random.default_rng(4)
    truth: list[int | None] = rng.integers(0, 4, 120).tolist()
    answer: list[int | None] = [t if rng.random() < 0.7 else int(rng.integers(0, 4)) for t in truth]
    answer[3], truth[4] = None, None
    answer[5] = (truth[5] + 1) % 4 if truth[5] is not None else 0
    tracks = [f"clip-{i:03d}.flac" for i in range(120)]
    tracks[5] = HOSTILE
    tracks[6] = "long-" * 40 + ".flac"
    tracks[3] = "日本語 \u202e clip.wav"
    kind = [("clean", "noise", "<i>codec</i>")[i % 3] for i in range(120)]
    generator = ["natural" if i % 2 else "vocoder" for i in range(120)]
    return build(answer, truth, tracks, perturbation=kind, generator=generator)


def curve_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = {"epoch": range(4), "lr": [1e-5, 2e-5, 1e-5, 5e-6], "loss": [1.7, 1.2, 0.9, 0.8]}
    pd.DataFrame(rows).to_csv(folder / "curve.csv", index=False)
    return folder


def test_the_page_stays_inside_itself_and_shows_its_numbers(
    browse: Callable[..., Any], full: Evaluation, tmp_path: Path
) -> None:
    curve_file(tmp_path / "models" / "resnet")
    page = Path(render(full, str(tmp_path / "out"), [str(tmp_path / "models")]))
    for width in (1280, 400):
        for dark in (False, True):
            seen = browse(page, width, dark)
            assert seen.requests[0] == page.as_uri()
            assert seen.outside == []
            assert seen.console == []
            assert seen.overflow_px <= 0
            assert len(seen.images) >= 10
            assert all(natural_width > 0 and alt for natural_width, alt in seen.images)
            overall = full.metrics["overall"]
            for name in ("macro_f1", "accuracy", "auroc", "macro_f1_low", "macro_f1_high"):
                assert f"{overall[name]:.3f}" in seen.text
            for words in (HOSTILE, CLASSES[2], "<i>codec</i>", "silent: every sample is zero", "ensemble-1/run-1"):
                assert words in seen.text


def test_light_and_dark_pages_look_different(browse: Callable[..., Any], full: Evaluation, tmp_path: Path) -> None:
    page = Path(render(full, str(tmp_path)))
    assert mean_brightness(browse(page, 700).png) > 200
    assert mean_brightness(browse(page, 700, dark=True).png) < 60


def mean_brightness(png: bytes) -> float:
    import io

    from PIL import Image

    return float(np.asarray(Image.open(io.BytesIO(png)).convert("L")).mean())


def test_the_look_at_a_page_catches_what_a_page_must_not_do(browse: Callable[..., Any], tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<body style="width:900px">hello<img src="http://127.0.0.1:9/away.png" alt="">'
        '<script>console.log("said"); fetch("http://127.0.0.1:9/data"); throw new Error("thrown")</script></body>'
    )
    seen = browse(bad, 400)
    assert {"http://127.0.0.1:9/away.png", "http://127.0.0.1:9/data"} <= set(seen.outside)
    assert any("said" in line for line in seen.console)
    assert any("exception" in line for line in seen.console)
    assert seen.images[0][0] == 0
    assert seen.overflow_px > 400


@pytest.mark.parametrize(
    ("answer", "truth", "says"),
    [
        ([], [], "the predictions table is empty"),
        ([None, None], [0, 1], "none of the 2 recordings gave an answer"),
        ([0, 1, 3], [None, None, None], "none of the 3 tracks has a true label"),
        ([0, None], [None, 1], "none of the 1 labelled tracks gave an answer"),
    ],
    ids=["empty", "all failed", "no labels", "no track has both"],
)
def test_a_page_with_nothing_to_score_says_so(
    build: Build, tmp_path: Path, answer: list[int | None], truth: list[int | None], says: str
) -> None:
    text = Path(render(build(answer, truth), str(tmp_path / "out"))).read_text()
    assert says in text
    assert "Macro F1</h3>" not in text
    assert ("silent: every sample is zero" in text) == (None in answer)


@pytest.mark.parametrize("truth", [[0, 0, 0], [3, 3, 3], [0, 1, 0]], ids=["one class", "all unknown", "all known"])
def test_a_page_without_both_kinds_of_tracks_has_no_detection_plots(
    build: Build, tmp_path: Path, truth: list[int]
) -> None:
    where = render(build([0, 1, 0], truth), str(tmp_path / "out"))
    assert "Not measured: it takes scored tracks of both kinds" in Path(where).read_text()
    assert not (tmp_path / "out" / "plots" / "roc.svg").exists()
    assert (tmp_path / "out" / "plots" / "confusion.svg").exists()


def test_many_classes_and_groups_are_drawn_as_far_as_one_can_see(build: Build, tmp_path: Path) -> None:
    classes = (*(f"synthesizer-{i:02d}" for i in range(23)), "unknown")
    index = [i % 24 for i in range(240)]
    found = build(index, index, classes=classes, speaker=[f"s{i % 45}" for i in range(240)])
    text = Path(render(found, str(tmp_path / "out"))).read_text()
    assert "The 40 largest of 45 groups." in text
    assert text.count("<tr><th><div") >= 45


def test_the_file_holds_no_outside_address_no_script_and_no_live_markup_from_data(
    full: Evaluation, tmp_path: Path
) -> None:
    text = Path(render(full, str(tmp_path))).read_text()
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search(r"<script|<link[^>]+href=\"(?!data:,)|src=\"(?!data:)|@import|url\((?!#)", text)
    for svg in (tmp_path / "plots").glob("*.svg"):
        drawn = svg.read_text()
        assert set(re.findall(r"https?://[\w./]+", drawn)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        assert "prefers-color-scheme:dark" in drawn
        assert "NaN" not in drawn


def test_every_plot_on_the_page_is_a_file_too_and_rendering_again_changes_nothing(
    full: Evaluation, tmp_path: Path
) -> None:
    first = Path(render(full, str(tmp_path))).read_text()
    assert len(list((tmp_path / "plots").glob("*.svg"))) == first.count("<img ")
    assert Path(render(full, str(tmp_path))).read_text() == first


def test_learning_curves_are_found_in_model_folders_and_tables(tmp_path: Path) -> None:
    curve_file(tmp_path / "models" / "stage1" / "resnet")
    curve_file(tmp_path / "models" / "stage2" / "resnet")
    folds = tmp_path / "folds.csv"
    pd.DataFrame({"epoch": [0, 1, 0, 1], "fold": [0, 0, 1, 1], "macro_f1": [0.1, 0.2, 0.3, 0.4]}).to_csv(
        folds, index=False
    )
    assert [c.name for c in read_curves([str(tmp_path / "models")])] == ["stage1/resnet", "stage2/resnet"]
    assert read_curves([str(tmp_path / "models" / "stage1" / "resnet")])[0].values["loss"].tolist() == [
        1.7,
        1.2,
        0.9,
        0.8,
    ]
    assert [c.values["macro_f1"].tolist() for c in read_curves([str(folds)])] == [[0.1, 0.2], [0.3, 0.4]]


@pytest.mark.parametrize(
    ("text", "says"), [("a,b\n1,2\n", "no column 'epoch'; its columns are a, b"), ("", "not a readable")]
)
def test_curves_that_are_none_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CurveError, match="holds no learning curve"):
        read_curves([str(tmp_path)])
    (tmp_path / "curve.csv").write_text(text)
    with pytest.raises(CurveError, match=says):
        read_curves([str(tmp_path)])


def test_the_page_says_what_training_had_seen_or_that_nobody_said_it(build: Build, tmp_path: Path) -> None:
    truth, speaker = [0, 1, 3, 3] * 3, ["<b>ann</b>", "bob", "bob", "eve"] * 3
    text = Path(render(build(truth, truth, speaker=speaker), str(tmp_path / "out"))).read_text()
    assert "Not checked: which rows the models were trained on was not said" in text
    seen = "track,label,speaker\nx,0,<b>ann</b>\n"
    found = build(truth, truth, speaker=speaker, trained_on=seen)
    text = Path(render(found, str(tmp_path / "out"))).read_text()
    assert "The 12 labelled tracks were compared with 1 rows" in text
    assert "&lt;b&gt;ann&lt;/b&gt;" in text and "<b>ann</b>" not in text
    assert "not given: the evaluated tracks and the training rows have no text" in text
    assert re.search(r"<th>speaker</th><td>not seen</td><td class=\"n\">9</td>", text)


def test_the_page_shows_a_probe_and_flags_what_shortcuts_explain(
    build: Build, tmp_path: Path, clip_paths: list[str]
) -> None:
    import soundfile as sf

    paths = []
    for i, path in enumerate(clip_paths):
        wave, rate_hz = sf.read(path)
        paths.append(str(tmp_path / f"{i}.wav"))
        sf.write(paths[-1], wave * (1 if i % 2 else 0.01), rate_hz)
    truth = [i % 2 for i in range(12)]
    assert "Not measured: none of the 12 recordings could be read" in page_text(build(truth, truth), tmp_path)
    found = build(truth, truth, paths=paths, level=["w"] * 6 + ["s"] * 6, generator=[f"g{t}" for t in truth])
    text = page_text(found, tmp_path)
    assert "12 of 12 sampled recordings could be read" in text
    assert re.search(r'<div class="fit">level</div>.*<td class="wrong">yes</td>', text)
    assert "n/a for 2 further values of generator" not in text  # none of its values can be probed: no table at all
    assert "g0" in text and "Generator by generator" in text


def page_text(found: Evaluation, folder: Path) -> str:
    return Path(render(found, str(folder / "out"))).read_text()


def test_every_group_column_has_its_reliability_and_every_threshold_its_halves(
    full: Evaluation, tmp_path: Path
) -> None:
    text = page_text(full, tmp_path)
    for column in ("perturbation", "generator"):
        svg = (tmp_path / "out" / "plots" / f"reliability_by_{column}.svg").read_text()
        assert svg.count(", ECE 0.") == len(full.metrics["calibration"]["groups"][column])
        assert f"Calibration by {column}" in text
    assert text.count("first half, chosen on the second") == 2
    assert f"<b>{full.metrics['reject']['threshold']:.3f}</b>" in text


def test_only_the_largest_groups_have_a_reliability_diagram(build: Build, tmp_path: Path) -> None:
    index = [i % 4 for i in range(120)]
    found = build(index, index, speaker=[f"s{i % 15 if i < 90 else 0}" for i in range(120)])
    assert "The 12 largest of 15 groups." in page_text(found, tmp_path)
    assert (tmp_path / "out" / "plots" / "reliability_by_speaker.svg").read_text().count("n = ") == 12
