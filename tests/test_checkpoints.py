"""A checkpoint proves itself whole; of several, the newest whole one is gone on from."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synatt.checkpoints import TornCheckpoint, decode, encode, newest_whole

STATE = {"net": {"w": torch.arange(6.0).reshape(2, 3)}, "epoch": 3, "curve": [{"loss": 1.5}], "scaler": None}
WHOLE = encode(STATE)


def test_a_state_comes_back_as_it_was() -> None:
    found = decode(WHOLE)
    assert torch.equal(found["net"].pop("w"), STATE["net"]["w"])  # type: ignore[index]
    assert found == {"net": {}, "epoch": 3, "curve": [{"loss": 1.5}], "scaler": None}


@given(st.integers(0, len(WHOLE) - 1))
def test_one_that_was_cut_short_is_torn(at: int) -> None:
    with pytest.raises(TornCheckpoint, match="digest"):
        decode(WHOLE[:at])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_one_with_a_changed_byte_is_torn(at: int, change: int) -> None:
    data = bytearray(WHOLE)
    data[at] ^= change
    with pytest.raises(TornCheckpoint):
        decode(bytes(data))


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    data = encode({"net": Malicious(tmp_path / "was_run")})
    with pytest.raises(Exception, match="weights_only"):
        decode(data)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, None),
        ({"c": WHOLE, "b": WHOLE}, "c"),
        ({"c": WHOLE[:-1], "b": WHOLE, "a": WHOLE}, "b"),
        ({"c": b"", "b": WHOLE[:70]}, None),
    ],
    ids=["none", "newest", "newest torn", "all torn"],
)
def test_the_newest_whole_one_is_taken(files: dict[str, bytes], wanted: str | None) -> None:
    assert newest_whole(list(files), files.__getitem__) == wanted
