"""The command line of `prepare`."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.prepare import main
from synatt import manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for name in ("vits/1.wav", "vits/2.wav", "world/1.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"prepare lists files, it does not decode them")
    return folder


def test_it_prints_where_the_manifest_lies(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(clips), "--unknown", "world", "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    path = shown.out.splitlines()[-1]
    assert manifest.read(path).classes == ("vits", "unknown")
    assert "3 tracks, classes: vits, unknown" in shown.err


def test_a_wrong_input_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(tmp_path / "no"), "--output", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"python -m jobs.prepare: error: no such folder: {tmp_path / 'no'}"]


def test_strict_fails_with_exit_2(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clips / "loose.wav").write_bytes(b"x")
    arguments = ["--input", str(clips), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "dropped: 1 file_without_label (loose.wav)" in capsys.readouterr().err
    assert main([*arguments, "--strict"]) == 2
    assert "--strict: 1 file_without_label (loose.wav)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--share", "vctk"], "write SOURCE=FRACTION"),
        (["--layout", "kaldi"], "invalid choice"),
        (["--layout", "folder", "--preset", "asvspoof5"], "need --layout protocol"),
        (["--classes", "vits,,world"], "different names"),
    ],
)
def test_wrong_options_are_exit_2(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code: object = main(["--input", str(clips), "--output", str(tmp_path / "out"), *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_protocol_options_reach_the_reader(clips: Path, tmp_path: Path) -> None:
    trials = tmp_path / "trials.txt"
    trials.write_text("name;by\nvits/1;A01\nworld/1;A02\n")
    order = ["--protocol", f"train={trials}", "--columns", "file,attack", "--separator", ";", "--header"]
    chosen = ["--classes", "A02", "--audio-suffix", ".wav"]
    assert main(["--input", str(clips), *order, *chosen, "--output", str(tmp_path / "out")]) == 0
    found = manifest.read(str(tmp_path / "out"))
    assert dict(zip(found.column("track"), found.column("label"), strict=True)) == {
        "clips/vits/1": 1,
        "clips/world/1": 0,
    }


def test_help_answers_without_loading_what_reads_tables() -> None:
    code = (
        "import sys; import jobs.prepare; print([m for m in ('pandas', 'pyarrow', 'ray', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
