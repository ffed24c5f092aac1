"""What is counted, and under which few words."""

import re
from typing import Any

import pytest

from synatt.audio import AudioError
from synatt.distributed import metrics


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, dict[str, str]]]:
    """What would have been recorded: name, value, tags."""
    found: list[tuple[str, float, dict[str, str]]] = []
    monkeypatch.setattr(metrics, "_record", lambda metric, value, **tags: found.append((metric.name, value, tags)))
    return found


def test_names_follow_prometheus() -> None:
    names = [metric.name for metric in metrics.METRICS]
    assert len(set(names)) == len(names)
    for metric in metrics.METRICS:
        assert re.fullmatch(r"synatt_[a-z0-9_]+", metric.name) and metric.help
        assert metric.exported == f"ray_{metric.name}"
        assert set(metric.tags) <= {"run", "stage", "kind", "backbone", "fold"}


def test_errors_are_counted_by_a_bounded_set_of_kinds(seen: list[Any]) -> None:
    errors = ["truncated: half", "unexpected: KeyError: x", "crashed: signal", "/a/path.wav: odd", "no colon"]
    metrics.scored("r", 9, errors, 1.5)
    kinds = [tags["kind"] for name, _, tags in seen if name == "synatt_errors_total"]
    assert kinds == ["truncated", "unexpected", "crashed", "other", "other"]
    assert ("synatt_clips_total", 9, {"run": "r"}) in seen
    assert ("synatt_work_seconds_total", 1.5, {"run": "r", "stage": "score"}) in seen


def test_every_kind_of_audio_error_is_known() -> None:
    import synatt.held  # noqa: F401 whatever it adds

    kinds, todo = set(), [AudioError]
    while todo:
        kind = todo.pop()
        kinds.add(kind.kind)
        todo += kind.__subclasses__()
    assert kinds <= metrics.KINDS and len(kinds) > 5


def test_an_epoch_says_pace_and_share_waiting(seen: list[Any]) -> None:
    row = {"epoch": 3, "loss": 0.5, "clips": 80, "wait_s": 2.0, "sync_s": 1.0, "compute_s": 5.0, "seconds": 10.0}
    metrics.trained("r", "B0", row, 7)
    tags = {"run": "r", "backbone": "B0", "fold": ""}
    said = {name: value for name, value, has in seen if has == tags}
    assert said == {
        "synatt_epochs_total": 1,
        "synatt_training_clips_total": 80,
        "synatt_training_loss": 0.5,
        "synatt_training_clips_per_second": 10.0,
        "synatt_training_wait_ratio": 0.25,
        "synatt_training_left_seconds": 40.0,
    }
    stages = {has["stage"]: value for name, value, has in seen if name == "synatt_training_seconds_total"}
    assert stages == {"wait": 2.0, "sync": 1.0, "compute": 5.0}
    metrics.trained("r", "B0", {**row, "macro_f1": 0.75}, 7, fold=2)
    assert ("synatt_training_macro_f1", 0.75, {**tags, "fold": "2"}) in seen


def test_a_failure_to_count_fails_nothing_and_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def broken(metric: metrics.Metric) -> Any:
        raise RuntimeError("the endpoint is gone")

    monkeypatch.setattr(metrics, "_made", broken)
    said: list[str] = []
    # Other tests leave handlers on the logger, by which a record may be seen twice.
    monkeypatch.setattr(metrics.log, "warning", lambda text, *args: said.append(text % args))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    metrics._complain.cache_clear()
    for _ in range(3):
        metrics.queued("r", 1)
    assert said == ["metrics are not counted: RuntimeError: the endpoint is gone"]


def test_without_ray_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    made: list[metrics.Metric] = []
    monkeypatch.setattr(metrics, "_made", made.append)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    metrics.queued("r", 1)
    assert not made
