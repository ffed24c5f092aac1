"""Explained clips and the map of embeddings on the page: in a browser, as data, and where they cannot be shown."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from PIL import Image

from synatt.ensemble import View
from synatt.evaluation import Evaluation, evaluate
from synatt.logmel import mel_matrix
from synatt.looking import Asked, Looks, look
from synatt.recipefile import load_recipe
from synatt.report import render
from synatt.report.clipview import (
    Budget,
    audio_uri,
    frequency_ticks,
    heat_uri,
    sections,
    spectrogram_uri,
    time_ticks,
)
from synatt.report.scatter import COLOURS, scatter
from tests.conftest import MakeModel, make_tiny_recipe
from tests.explainrun import write_predictions


@pytest.fixture
def models(make_model: MakeModel) -> list[str]:
    return [make_model("A"), make_model("B", 1)]


@pytest.fixture
def looked(models: list[str], clip_paths: list[str], tmp_path: Path) -> tuple[Evaluation, Looks]:
    out = write_predictions(tmp_path / "out", models, clip_paths)
    found = evaluate([out], [f"{out}/labels.csv"], bootstrap=20)
    return found, look(found, [out], Asked(models, 1, ["t12", "t02"]))


def data_of(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_the_page_shows_and_plays_clips_and_the_map_and_stays_inside_itself(
    browse: Callable[..., Any], looked: tuple[Evaluation, Looks], tmp_path: Path
) -> None:
    found, looks = looked
    page = Path(render(found, str(tmp_path / "page"), looks=looks))
    text = page.read_text()
    assert not re.search(r"<script|src=\"(?!data:)|href=\"(?!data:|#)", text)
    for width in (1280, 390):
        seen = browse(page, width)
        assert seen.outside == []
        assert seen.console == []
        assert seen.overflow_px <= 0
        for words in ("Why this answer", "A map of the voices", "taken for", "no answer to explain: missing"):
            assert words in seen.text
    shown = [c for c in looks.explanations.clips if not c.why_not]
    assert text.count("<audio ") == len(shown)
    assert text.count('<image class="heat"') == sum(len(c.heat) for c in shown)
    assert text.count("<circle ") == 12
    assert "embedding_map, errors, explanations" in text


def test_tables_name_what_is_shown(looked: tuple[Evaluation, Looks]) -> None:
    table = looked[1].tables["explanations"].to_pandas()
    assert set(table["kind"]) == {"asked", "pair", "mistake", "uncertain", "right"}
    assert table.loc[table["track"] == "t12", "why_not"].iloc[0].startswith("there is no answer")
    assert table.loc[table["track"] == "t02", "why_not"].isna().all()
    assert looked[1].tables["embedding_map"]["track"].to_pylist() == [f"t{i:02d}" for i in range(12)]
    assert looked[1].not_shown == [
        f"1 of {table['track'].nunique()} clips are not explained; the first: there is no answer to explain: "
        "missing: no such file"
    ]


def test_a_page_without_looks_has_neither_section(looked: tuple[Evaluation, Looks], tmp_path: Path) -> None:
    text = Path(render(looked[0], str(tmp_path / "bare"))).read_text()
    assert "Why this answer" not in text
    assert "A map of the voices" not in text


def test_other_models_and_other_embeddings_leave_a_line_and_the_rest_of_the_page(
    models: list[str], clip_paths: list[str], tmp_path: Path
) -> None:
    out = Path(write_predictions(tmp_path / "out", models, clip_paths[:6]))
    other = Path(write_predictions(tmp_path / "other", models[:1], clip_paths[:6]))
    (out / "embeddings" / "part-00000.parquet").write_bytes((other / "embeddings" / "part-00000.parquet").read_bytes())
    found = evaluate([str(out)], [f"{out}/labels.csv"], bootstrap=0)
    for given in (models[:1], [str(tmp_path / "nowhere")]):
        looks = look(found, [str(out)], Asked(given, 1))
        assert len(looks.not_shown) == 2
        text = Path(render(found, str(tmp_path / "page"), looks=looks)).read_text()
        assert text.count("Not shown: ") == 2
        assert "Macro F1</h3>" in text


def test_a_clip_of_several_kinds_is_shown_once(looked: tuple[Evaluation, Looks]) -> None:
    found, looks = looked
    made = sections(looks.explanations, found.metrics["classes"], [], Budget())
    full = [c["view"].anchor for part in made for c in part["clips"] if not c["again"]]
    again = [c["view"].anchor for part in made for c in part["clips"] if c["again"]]
    assert len(full) == len(set(full)) == len(looks.explanations.clips)
    assert again and set(again) <= set(full)


def test_pictures_and_sounds_end_where_the_room_does(looked: tuple[Evaluation, Looks]) -> None:
    found, looks = looked
    able = [c for c in looks.explanations.clips if not c.why_not]

    def drawn(room: int) -> tuple[int, int]:
        budget = Budget(room)
        made = sections(looks.explanations, found.metrics["classes"], [], budget)
        views = [c["view"] for part in made for c in part["clips"] if not c["again"]]
        assert budget.left == room - sum(
            len(v.spectrogram or "") + len(v.audio or "") + sum(len(uri) for *_, uri in v.heats) for v in views
        )
        assert all(v.why_not for v in views if not v.spectrogram)
        assert all(v.audio or "used up" in v.no_audio for v in views if v.spectrogram)
        return sum(bool(v.spectrogram) for v in views), sum(bool(v.audio) for v in views)

    assert drawn(0) == (0, 0)
    # A second of speech is some 25 kB of FLAC and its pictures 5 kB.
    pictures, sounds = drawn(20_000)
    assert pictures > 0 == sounds
    assert drawn(12_000_000) == (len(able), len(able))


def test_the_sound_is_the_clip(speech_wave: np.ndarray) -> None:
    played, rate = sf.read(io.BytesIO(data_of(audio_uri(7 * speech_wave))), dtype="float32")
    assert rate == 16_000
    assert np.abs(played).max() == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(played, speech_wave * 0.9 / np.abs(speech_wave).max(), atol=1e-4)


def test_pictures_have_low_frequencies_below(golden: dict[str, np.ndarray]) -> None:
    logmel = np.full((32, 64), -80.0, np.float32)
    logmel[:8] = 0
    grey = np.asarray(Image.open(io.BytesIO(data_of(spectrogram_uri(logmel, 80.0)))))
    assert grey.shape == (32, 64)
    assert grey[-4:].mean() > 240 > 20 > grey[:16].mean()
    heat = np.zeros((32, 64), np.float32)
    heat[:8, :32] = 1
    pixels = np.asarray(Image.open(io.BytesIO(data_of(heat_uri(heat)))))
    assert pixels[-4:, :40, 3].min() > 180
    assert pixels[:16, :, 3].max() == pixels[:, 60:, 3].max() == 0


@pytest.mark.parametrize("name", ["part1", "part2", "quickstart"])
def test_frequencies_stand_at_the_mel_bin_that_hears_them(name: str) -> None:
    recipe = load_recipe(name, ["classes=[a, unknown]"])
    settings = recipe.logmel
    matrix = mel_matrix(settings.mel_bins, settings.n_fft, settings.f_min_hz, settings.f_max_hz)
    ticks = dict(frequency_ticks(settings))
    for text, hz in (("1k", 1000), ("2k", 2000), ("4k", 4000)):
        loudest = int(matrix[round(hz / 16_000 * settings.n_fft)].argmax())
        assert abs((1 - ticks[text]) * settings.mel_bins - (loudest + 0.5)) <= 1
    heights = [at for _, at in frequency_ticks(settings)]
    assert heights == sorted(heights, reverse=True)
    assert all(a - b >= 14 / 176 for a, b in zip(heights, heights[1:]))


def test_seconds_stand_where_their_frames_are() -> None:
    view = View.of(make_tiny_recipe())
    ticks = time_ticks(view)
    assert ticks[0] == ("0", 0.0)
    # 64 frames with a hop of 16,000 // 63 = 253 samples.
    assert dict(ticks)["0.8"] == pytest.approx(0.8 * 16_000 / (64 * 253))


def test_a_map_has_a_tab_for_each_column_and_rings_around_mistakes(looked: tuple[Evaluation, Looks]) -> None:
    found, looks = looked
    drawn = scatter(looks.embedding_map, found.metrics["classes"], ["generator"])
    assert drawn.columns == ["true class", "answer", "generator"]
    assert sum(n for _, n, _ in drawn.legends[2]) == len(drawn.points) == 12
    assert [wrong for *_, wrong in drawn.points] == [i % 2 == 0 for i in range(12)]
    assert all(0 <= x <= 640 and 0 <= y <= 460 for x, y, *_ in drawn.points)
    assert "#map-by-2:checked~.map .c2-0{fill:" in drawn.css
    assert drawn.points[0][3].startswith("t00\ntrue class ")


def test_more_values_than_colours_share_one(looked: tuple[Evaluation, Looks]) -> None:
    found, looks = looked
    spread = looks.embedding_map
    rows, place = spread.rows, np.resize(np.arange(12), 200)
    wide = replace(
        rows,
        track=rows.track[place],
        truth=rows.truth[place],
        answer=rows.answer[place],
        columns=pd.DataFrame({"room": [f"v{i % 40}" for i in range(200)]}),
    )
    drawn = scatter(replace(spread, rows=wide, xy=spread.xy[place]), found.metrics["classes"], ["room"])
    legend = drawn.legends[drawn.columns.index("room")]
    assert legend[-1][0] == "28 others"
    assert len(legend) == len(COLOURS) + 1
    assert sum(n for _, n, _ in legend) == 200
