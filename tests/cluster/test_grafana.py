"""The dashboard shows what there is: our metrics and Ray's, each in a panel that Grafana can draw.

That Ray's endpoint has them is seen in tests/jobs/test_seeing.py.
"""

import re
from itertools import combinations

import pytest

from synatt.distributed.metrics import METRICS
from tests.cluster.definitions import DASHBOARD, OUR_METRICS, RAYS_METRICS

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
BY_NAME = {metric.exported: metric for metric in METRICS}
# PromQL's own words in the expressions of the panels.
FUNCTIONS = {"sum", "max", "avg", "count", "rate", "last_over_time"}


def test_every_metric_of_ours_that_is_shown_exists() -> None:
    assert OUR_METRICS <= set(BY_NAME) and len(OUR_METRICS) > 8


def test_rays_metrics_are_what_its_node_reporter_has() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    reported = {f"ray_{name}" for name in METRICS_GAUGES}
    # The object store is reported by Ray's C++ core.
    assert RAYS_METRICS - reported == {"ray_object_store_memory"}
    assert {"ray_node_gpus_utilization", "ray_node_cpu_utilization", "ray_node_mem_used"} <= RAYS_METRICS


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_source_a_unit_and_groups_by_tags_that_its_metrics_have(panel: dict) -> None:
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"] and panel["description"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for target in panel["targets"]:
        expr = target["expr"]
        assert target["datasource"] == panel["datasource"]
        assert expr.count("(") == expr.count(")") and expr.count("{") == expr.count("}")
        assert set(re.findall(r"(\w+) ?\(", re.sub(r"by ?\([^)]*\)", "", expr))) <= FUNCTIONS
        for name in re.findall(r"ray_synatt_\w+", expr):
            grouped = {tag for tags in re.findall(r"by \(([^)]*)\)", expr) for tag in tags.split(", ")}
            assert grouped <= set(BY_NAME[name].tags), expr
            # A counter's rate or its sum; a gauge as it is.
            assert f'{name}{{run=~"$run"}}' in expr
            assert BY_NAME[name].is_counter or "rate(" + name not in expr
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(re.findall(r"\w+", expr))


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    boxes = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(0 <= box["x"] and box["x"] + box["w"] <= 24 for box in boxes)
    for a, b in combinations(boxes, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


def test_the_dashboard_can_be_imported_for_any_prometheus() -> None:
    assert DASHBOARD["uid"] and DASHBOARD["title"] and DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD.get("id") is None, "an id is given by the Grafana that it is imported into"
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    used = set(re.findall(r"\$\{?(\w+)", str(DASHBOARD["panels"])))
    assert used == set(variables)
    # Runs of prediction and of training are both offered.
    (pattern,) = re.findall(r'__name__=~"([^"]+)"', variables["run"]["query"]["query"])
    assert {name for name in BY_NAME if re.fullmatch(pattern, name)} == {
        "ray_synatt_clips_total",
        "ray_synatt_epochs_total",
    }
    assert all(panel["title"] for panel in PANELS) and len({p["title"] for p in PANELS}) == len(PANELS)
