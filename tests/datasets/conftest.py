"""Data trees laid out as the original's README shows them, a few tiny files each."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

Put = Callable[[Path, Iterable[str]], None]


def _wav() -> bytes:
    out = io.BytesIO()
    sf.write(out, np.zeros(16, dtype=np.float32), 16_000, format="WAV")
    return out.getvalue()


WAV = _wav()


def put_audio(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(WAV)


@pytest.fixture
def put() -> Put:
    """Writes a short silent wav under each name."""
    return put_audio


def _table(path: Path, header: str, rows: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The README's `data/`: SP Cup (10 tracks a class, 10 unseen, 8 and 6 to predict) and the four external sets."""
    root = tmp_path / "data"
    spcup = root / "spcup_2022_training_part1" / "spcup_2022_training_part1"
    tracks = [f"{c}{i:02d}.wav" for c in range(5) for i in range(10)]
    put_audio(spcup, tracks)
    _table(spcup / "labels.csv", "track,algorithm", [f"{t},{t[0]}" for t in tracks])
    unseen = root / "spcup_2022_unseen" / "spcup_2022_unseen"
    tracks = [f"u{i}.wav" for i in range(10)]
    put_audio(unseen, tracks)
    _table(unseen / "labels.csv", "track,algorithm", [f"{t},5" for t in tracks])
    for part, count in ((1, 8), (2, 6)):
        folder = root / f"spcup_2022_eval_part{part}" / f"spcup_2022_eval_part{part}"
        tracks = [f"e{part}_{i}.wav" for i in range(count)]
        put_audio(folder, tracks)
        if part == 1:
            _table(folder / "labels_eval_part1.csv", "track", tracks)
        else:
            _table(folder / "labels_eval_part2.csv", ",track", [f"{i},{t}" for i, t in enumerate(tracks)])
    lj = root / "ljspeech-sr16k-dataset"
    names = [f"LJ001-{i:04d}" for i in range(25)]
    put_audio(lj / "wavs", [f"{n}.wav" for n in names])
    _table(lj / "metadata.csv", "id,file_name,sentence", [f'{i},{n}.wav,"Printing, {i}"' for i, n in enumerate(names)])
    vctk = root / "vctk-sr16k-dataset"
    names = [f"p{s}_{i:03d}" for s in range(225, 232) for i in range(20)]
    put_audio(vctk / "wavs", [f"{n}.wav" for n in names])
    _table(vctk / "metadata.csv", "file_name,speaker_id,sentence", [f"{n}.wav,{n[1:4]},Please call" for n in names])
    libri = root / "librispeech-small-dataset"
    names = [f"{s}-1-{i:04d}" for s in range(80, 87) for i in range(22)]
    put_audio(libri / "wavs", [f"{n}.wav" for n in names])
    _table(
        libri / "metadata.csv",
        "file_id,sex,filename,speaker_id",
        [f"{n},F,{n}.wav,{n.partition('-')[0]}" for n in names],
    )
    other = root / "sp22-synthetic-dataset"
    paths = [f"wavs/exp{e}/alg{a}_{i}.wav" for e in range(6) for a in range(4) for i in range(5)]
    put_audio(other, paths)
    _table(
        other / "metadata.csv",
        "audio_path,exp_name,algorithm,speaker_id",
        [f"{p},{p.split('/')[1]},{p.split('alg')[1][0]},0" for p in paths],
    )
    return root
