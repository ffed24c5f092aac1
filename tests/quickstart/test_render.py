"""A tiny corpus is rendered for real, interrupted, resumed and compared."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from synatt import manifest, storage
from synatt.constants import RATE_HZ
from synatt.errors import WorkError
from synatt.quickstart import RenderedCorpus, Sizes, render_corpus
from synatt.quickstart.clip import render_clips
from synatt.quickstart.plan import Clip, jobs, plan
from synatt.quickstart.roster import CLASSES, KNOWN, available

TINY = Sizes(2, 2, 2, 2)


def render(folder: Path, **options: object) -> RenderedCorpus:
    return render_corpus(folder, 5, sizes=TINY, system=False, **({"workers": 1} | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> RenderedCorpus:
    return render(tmp_path_factory.mktemp("corpus"))


def speech_of(corpus: RenderedCorpus) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (Path(corpus.manifest_path).parent / "speech").iterdir()}


def test_every_row_of_the_manifest_is_a_playable_clip(corpus: RenderedCorpus) -> None:
    m = manifest.read(corpus.manifest_path)
    assert m.classes == CLASSES and len(m) == 2 * 9 + 3 * 2 * 9
    for path in m.column("path"):
        wave, rate_hz = sf.read(path, dtype="float32")
        assert rate_hz == RATE_HZ and wave.ndim == 1
        assert 1.5 < len(wave) / RATE_HZ < 6.5
        assert -45 < 10 * np.log10(np.mean(wave**2)) < -15


def test_evaluation_rows_hide_what_the_labels_tell(corpus: RenderedCorpus) -> None:
    rows = manifest.read(corpus.manifest_path).table.to_pylist()
    train, hidden = ([r for r in rows if r["split"] == split] for split in ("train", "eval"))
    assert all(r[name] is not None for r in train for name in ("label", "generator", "speaker", "text"))
    assert all(r[name] is None for r in hidden for name in ("label", "generator", "speaker", "text"))
    truth = {r["track"]: r for r in storage.read_table(corpus.labels_path).to_pylist()}
    assert set(truth) == {r["track"] for r in hidden}
    for level in ("clean", "weak", "strong"):
        here = [r for r in truth.values() if r["perturbation"] == level]
        assert {r["label"] for r in here} == set(range(len(CLASSES)))
        assert all((r["kind"] == "none") == (level == "clean") == (json.loads(r["parameters"]) == {}) for r in here)
    assert all(
        CLASSES[r["label"]] == (r["generator"] if r["generator"] in KNOWN else "unknown") for r in truth.values()
    )


def test_a_second_run_renders_nothing_and_says_the_same(corpus: RenderedCorpus) -> None:
    def refuse(function: Callable[[list[Clip]], int], todo: list[list[Clip]]) -> Iterable[int]:
        assert todo == []
        return []

    before = storage.read_bytes(corpus.manifest_path)
    assert render(Path(corpus.manifest_path).parent, mapper=refuse) == corpus
    assert storage.read_bytes(corpus.manifest_path) == before


def test_what_was_lost_is_rendered_again_byte_for_byte(corpus: RenderedCorpus, tmp_path: Path) -> None:
    shutil.copytree(Path(corpus.manifest_path).parent, tmp_path, dirs_exist_ok=True)
    files = sorted((tmp_path / "speech").iterdir())
    for lost in files[::9]:
        lost.unlink()
    files[1].write_bytes(b"")  # a file system that filled up may leave this
    (tmp_path / "manifest.parquet").unlink()
    # The rest is made in fresh processes, in another order, with other clips of an utterance missing.
    again = render(tmp_path, workers=2)
    assert speech_of(again) == speech_of(corpus)
    # Same rows but for the folder.
    columns = ["track", "label", "split", "generator"]
    assert storage.read_table(again.manifest_path, columns) == storage.read_table(corpus.manifest_path, columns)


def test_an_interrupted_run_leaves_no_manifest_and_the_next_one_goes_on(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def stop_early(function: Callable[[list[Clip]], int], todo: list[list[Clip]]) -> Iterable[int]:
        yield from map(function, todo[:2])
        raise Killed

    with pytest.raises(Killed):
        render(tmp_path, mapper=stop_early)
    assert not (tmp_path / "manifest.parquet").exists()
    left = {p.name for p in (tmp_path / "speech").iterdir()}
    asked: list[str] = []

    def note(function: Callable[[list[Clip]], int], todo: list[list[Clip]]) -> Iterable[int]:
        asked.extend(f"{clip.track}.flac" for group in todo for clip in group)
        return [len(group) for group in todo]

    corpus = render(tmp_path, mapper=note)
    assert left and not left & set(asked)
    assert len(left) + len(asked) == len(manifest.read(corpus.manifest_path))


def test_a_failing_synthesizer_is_named_with_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str, voice: str, rng: np.random.Generator) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("synatt.quickstart.synthesizers.espeak.speak", broken)
    group = jobs(plan(5, TINY, available(system=False)))[0]
    with pytest.raises(WorkError, match=r"espeak_formant failed on '.+' \(voice .+\): OSError: no space left"):
        render_clips(str(tmp_path), group)
