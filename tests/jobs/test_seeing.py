"""What a running job shows: its metrics on Ray's Prometheus endpoint, its trace, its lines as JSON."""

import json
from pathlib import Path

import pandas as pd
import pytest
import ray

from synatt.distributed import metrics
from tests.cluster.definitions import RAYS_METRICS
from tests.conftest import make_tiny_recipe
from tests.jobs.conftest import Job
from tests.predictrun import write_model
from tests.scrape import Scrape, scrape_until, targets, total

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture
def argv(tmp_path: Path, clip_paths: list[str]) -> list[str]:
    """`predict` of twelve clips, two files that are no audio and one that is not there."""
    write_model(tmp_path / "model", make_tiny_recipe(), 0)
    (tmp_path / "text.wav").write_text("no audio" * 100)
    paths = [*clip_paths, str(tmp_path / "text.wav"), str(tmp_path / "text.wav"), str(tmp_path / "gone.wav")]
    rows = {"track": [f"t{i}" for i in range(len(paths))], "path": paths}
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    return ["--input", str(tmp_path / "rows.parquet"), "--models", str(tmp_path / "model"), "--output", str(tmp_path)]


def test_a_prediction_is_counted_traced_and_told_in_json(job: Job, argv: list[str], tmp_path: Path) -> None:
    code, out, err = job("predict", *argv, "--log-format", "json", "--profile", str(tmp_path / "trace.json"))
    assert code == 0, err
    # Ray names its node among the targets for Prometheus.
    assert f"{ray.nodes()[0]['NodeManagerAddress']}:{ray.nodes()[0]['MetricsExportPort']}" in targets()
    table = pd.read_parquet(out.splitlines()[-1])
    (run,) = table.run.unique()

    said = [json.loads(line) for line in err.splitlines() if not line.startswith("[")]
    (last,) = [line for line in said if line.get("done") == 15 and line["message"].endswith("done")][-1:]
    assert (last["level"], last["job"], last["run"], last["errors"]) == ("info", "predict", run, 3)

    # The last thing that reaches the endpoint is the last block's.
    found = scrape_until(lambda seen: total(seen, "ray_synatt_clips_total", run=run) >= len(table))
    assert total(found, "ray_synatt_clips_total", run=run) == len(table) == 15
    kinds = table.error.dropna().str.partition(":")[0].value_counts().to_dict()
    assert kinds == {"not_audio": 2, "missing": 1}
    series = [labels["kind"] for labels, _ in found["ray_synatt_errors_total"] if labels["run"] == run]
    assert {kind: total(found, "ray_synatt_errors_total", run=run, kind=kind) for kind in series} == kinds
    for stage in ("decode", "log-mel", "score"):
        assert 0 < total(found, "ray_synatt_work_seconds_total", run=run, stage=stage) < 60
    # Low cardinality: of our own labels there is none but these.
    for metric in metrics.METRICS:
        for labels, _ in found.get(metric.exported, []):
            known = {*metric.tags, "Component", "NodeAddress", "SessionName", "Version", "WorkerId"}
            assert {name for name in labels if not name.startswith("otel_")} <= known
    events = json.loads((tmp_path / "trace.json").read_text())
    names = {event["name"] for event in events}
    assert {"MapBatches(decode)", "MapWorker(MapBatches(Score)).submit", "merge_segment"} <= names
    assert all(isinstance(event["pid"], int) for event in events)
    assert {"process_name", "thread_name"} <= names


def test_what_the_dashboard_shows_of_rays_own_is_there_but_for_what_needs_a_gpu() -> None:
    wanted, seen = RAYS_METRICS - {"ray_node_gpus_utilization", "ray_node_gram_used"}, set()

    def have_all(found: Scrape) -> bool:
        # The reporter of a node is slower than the second after which a gauge is forgotten here.
        seen.update(found)
        return wanted <= seen

    assert len(wanted) > 3 and scrape_until(have_all)


def test_the_queue_is_what_is_left() -> None:
    """A gauge is there for two of Ray's report intervals after it was set, by whichever process."""
    metrics.queued("waiting", 7)
    # Other runs of this Ray have such a gauge too.
    found = scrape_until(lambda seen: total(seen, "ray_synatt_queue_clips", run="waiting") > 0)
    assert total(found, "ray_synatt_queue_clips", run="waiting") == 7


def test_a_job_that_fails_leaves_its_trace_and_an_error_for_machines(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNATT_LOG_FORMAT", "json")
    trace = tmp_path / "trace.json"
    argv = ["--input", tmp_path / "none", "--output", tmp_path / "out", "--address", "auto", "--profile", trace]
    code, out, err = job("evaluate", *argv)
    assert (code, out) == (2, "")
    said = [json.loads(line) for line in err.splitlines() if not line.startswith("[")]
    (error,) = [line for line in said if line["level"] == "error"]
    assert "none" in error["message"] and (error["exit_code"], error["job"]) == (2, "evaluate")
    assert error["kind"].endswith("Error")
    assert "_evaluate" in {event["name"] for event in json.loads(trace.read_text())}
