"""cluster/RUNBOOK.md: every message in it is one that the product writes, and the figures of its plan."""

import math
import re

import pytest

from synatt.worklist import SEGMENT_ROWS
from tests.cluster.definitions import CLUSTER, TOP
from tests.cluster.test_readme import CLIPS_PER_CORE

TEXT = (CLUSTER / "RUNBOOK.md").read_text()
ROWS = re.findall(r"^\| (`.+?) \| .* \| `(tests/[\w/.]+)` \|$", TEXT, re.MULTILINE)
# Literals that Python joins, with placeholders in them.
SOURCE = "".join(path.read_text() for top in ("synatt", "jobs") for path in sorted((TOP / top).rglob("*.py")))
JOINED = re.sub(r'"\s*\n\s*f?"', "", SOURCE)


def test_there_are_messages() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("said", "where"), ROWS)
def test_the_product_writes_it_and_the_test_beside_it_looks_for_it(said: str, where: str) -> None:
    for message in re.findall(r"`(.+?)`", said):
        pieces = [piece.strip() for piece in message.split("…") if len(piece.strip()) > 3]
        assert pieces
        for piece in pieces:
            assert piece == "No space left on device" or piece in JOINED, piece
        looked_for = re.sub(r"\\d\+", "", (TOP / where).read_text())
        assert any(words in looked_for for piece in pieces for words in _windows(piece)), message


def _windows(piece: str) -> list[str]:
    """Up to three words in a row: a test looks for a part of the message."""
    words = piece.split()
    return [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]


def figure(name: str) -> str:
    (found,) = re.findall(rf"^\| {name} \| ([^|]+) \|", TEXT, re.MULTILINE)
    return found


def test_the_plan_follows_from_the_measured_rates() -> None:
    clips, cores, clip_bytes, clip_s = 100e6, 128, 78e3, 4.2
    work_h = clips / CLIPS_PER_CORE / 3600
    hours, bytes_s = work_h / cores, clips * clip_bytes / (work_h / cores * 3600)
    assert f"{work_h:.0f} core hours" in figure("work")
    assert f"{hours:.1f} h of work" in figure("time")
    assert f"{clips * clip_bytes / 1e12:.1f} TB, {clips * clip_s / 3600:,.0f} h" in figure("audio")
    assert f"{bytes_s / 1e9:.1f} GB/s in all, {bytes_s / 16 / 1e6:.0f} MB/s a node" in figure("network")
    assert f"{2 * work_h * 0.05:.0f} USD on demand, {2 * work_h * 0.02:.0f} USD on spot" in figure("cost")
    assert f"{clips * 31 / 1e9:.1f} GB, {math.ceil(clips / SEGMENT_ROWS)} segments" in figure("worklist")
    assert f"{clips / 45_000 / 60:.0f} min" in figure("worklist")
    assert f"{clips * 72 / 1e9:.1f} GB" in figure("answers")
