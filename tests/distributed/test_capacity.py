"""What jobs share their work out over: what there is, or what the user says will come."""

import pytest

from synatt.distributed.capacity import Capacity, Expected, counted
from synatt.errors import UsageError


def test_without_a_word_it_is_the_cluster_as_it_is() -> None:
    assert counted(8, 2, 1e9, Expected()) == Capacity(8, 2, 1e9, grows=False)


@pytest.mark.parametrize(
    ("expected", "cpus", "gpus", "grows"),
    [
        (Expected(cpus=64), 64, 2, True),
        (Expected(gpus=16), 8, 16, True),
        (Expected(cpus=64, gpus=0), 64, 0, True),
        (Expected(gpus=0), 8, 0, False),
        (Expected(cpus=4, gpus=1), 4, 1, False),
    ],
)
def test_what_the_user_counts_on_holds_whether_it_is_more_or_less(
    expected: Expected, cpus: int, gpus: int, grows: bool
) -> None:
    assert counted(8, 2, 1e9, expected) == Capacity(cpus, gpus, 1e9, grows)


def test_a_head_alone_is_not_guessed_at() -> None:
    with pytest.raises(UsageError, match=r"no CPU and no GPU now.*--gpus N, --cpus N"):
        counted(0, 0, 1e9, Expected())
    assert counted(0, 0, 1e9, Expected(gpus=4)) == Capacity(0, 4, 1e9, grows=True)
