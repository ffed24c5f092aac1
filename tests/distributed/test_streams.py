"""How a cluster is shared between decoding and scoring; what becomes of a block on its way between the two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synatt.distributed.capacity import Capacity
from synatt.distributed.streams import Score, Scoring, _packed, _unpacked, share_out
from synatt.ensemble import plan
from synatt.staging import stage
from tests.conftest import MakeModel

GB = float(1 << 30)


@given(st.integers(1, 512), st.floats(1, 4096), st.floats(0.1, 64))
def test_scoring_never_takes_the_cpu_that_decoding_needs_to_start(cpus: int, memory_gb: float, actor_gb: float) -> None:
    """A pool that takes every CPU waits for ever for the tasks that feed it."""
    pool = share_out(Capacity(cpus, 0, memory_gb * GB), int(actor_gb * GB), shards=1000)
    assert pool.actors >= 1
    # Even if all nodes but one of a single CPU are lost and every actor moves there.
    assert pool.actors * pool.actor_cpus + pool.decode_cpus <= 1
    assert pool.actors * pool.threads <= max(cpus, 1)


@given(st.integers(1, 512), st.integers(1, 64))
def test_on_gpus_an_actor_takes_one_each_and_decoding_has_all_cpus(cpus: int, gpus: int) -> None:
    pool = share_out(Capacity(cpus, gpus, 64 * GB), 1 << 30, shards=1000)
    assert (pool.actors, pool.actor_gpus, pool.actor_cpus) == (gpus, 1, 0.0)


def test_large_models_have_fewer_actors_with_more_threads() -> None:
    pool = share_out(Capacity(16, 0, 64 * GB), 16 << 30, shards=1000)
    assert (pool.actors, pool.threads) == (2, 8)


@pytest.mark.parametrize("gpus", [0, 8])
def test_there_are_no_more_actors_than_shards(gpus: int) -> None:
    assert share_out(Capacity(16, gpus, 64 * GB), 1 << 30, shards=3).actors == 3


@given(st.integers(1, 64), st.integers(1, 16), st.floats(2, 16))
def test_actors_bring_the_nodes_that_are_counted_on(cores: int, nodes: int, core_gb: float) -> None:
    """Each reserves a core's share of memory: a node has room for its cores' actors, not for everybody's."""
    have = Capacity(cores * nodes, 0, 0.0, grows=True)
    pool = share_out(have, 1 << 30, shards=10_000, core_bytes=core_gb * GB)
    on_a_node = int(cores * core_gb * GB / pool.actor_bytes)
    assert cores <= on_a_node <= 1.12 * cores + 1 or pool.actor_bytes == 1 << 30
    assert pool.actors <= have.cpus


def test_a_block_is_the_same_on_the_other_side(make_model: MakeModel, clip_paths: list[str]) -> None:
    ensemble = plan([make_model()])
    units = stage(["a", "b", "gone"], [*clip_paths[:2], "/none.wav"], ensemble)
    shard, back = _unpacked({k: np.asarray(v) for k, v in _packed(7, units).items()}, ensemble)
    assert shard == 7
    assert (back.first, back.last, back.outcomes) == (units.first, units.last, units.outcomes)
    for key, values in units.logmels.items():
        np.testing.assert_array_equal(back.logmels[key], values)
    assert back.outcomes[2].error is not None and back.outcomes[2].duration_s is None


def test_models_that_cannot_be_loaded_are_an_answer_not_an_exception(
    make_model: MakeModel, clip_paths: list[str], tmp_path: pytest.TempPathFactory
) -> None:
    """An exception in an actor's constructor, or in a restarted actor, would be tried again for ever."""
    import shutil

    folder = make_model()
    ensemble = plan([folder])
    units = stage(["a"], clip_paths[:1], ensemble)
    shutil.rmtree(folder)
    actor = Score(Scoring(ensemble, "run", str(tmp_path), str(tmp_path), "segment", None, ()), 1)
    said = actor({k: np.asarray(v) for k, v in _packed(0, units).items()})
    assert "no model folder" in said["failure"][0] and said["rows"].sum() == 0
