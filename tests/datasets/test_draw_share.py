"""How much of a set is used."""

import math

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from synatt.datasets.common import draw_share

groups = st.lists(st.sampled_from(["p225", "p226", "p227", None]), max_size=60)


def frame(speakers: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"track": [f"t{i}" for i in range(len(speakers))], "speaker": speakers}, dtype="object")


@given(groups, st.floats(0, 1), st.integers(0, 3))
def test_each_group_keeps_its_rounded_share_and_at_least_one(
    speakers: list[str | None], share: float, seed: int
) -> None:
    rows = frame(speakers)
    kept = draw_share(rows, share, ["speaker"], seed)
    before, after = rows["speaker"].value_counts(dropna=False), kept["speaker"].value_counts(dropna=False)
    for speaker, n in before.items():
        wanted = max(1, math.floor(share * n + 0.5)) if share > 0 else 0
        assert after.get(speaker, 0) == wanted


@given(groups, st.randoms(use_true_random=False))
def test_the_draw_depends_on_the_tracks_not_on_their_order(speakers: list[str | None], random) -> None:
    rows = frame(speakers)
    order = list(range(len(rows)))
    random.shuffle(order)
    turned = draw_share(rows.iloc[order].reset_index(drop=True), 0.4, ["speaker"], 42)
    assert set(turned["track"]) == set(draw_share(rows, 0.4, ["speaker"], 42)["track"])


def test_the_draw_is_spread_over_the_set() -> None:
    kept = draw_share(frame(["x"] * 1000), 0.5, [], 42)
    numbers = kept["track"].str[1:].astype(int)
    assert len(kept) == 500
    assert 200 < (numbers < 500).sum() < 300
