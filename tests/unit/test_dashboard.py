"""The Grafana dashboard and the alerts in the manual ask for metrics that there are, in Prometheus' language."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuspawner.metrics.families import FAMILIES

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "helm" / "gpuspawner" / "files" / "dashboard.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
SERIES = {name: one for one in FAMILIES for name in one.series}
NAME = re.compile(r"\bgpuspawner_\w+")
LABELS = re.compile(r"(gpuspawner_\w+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([^)]*)\)")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])


def alerts() -> str:
    (found,) = re.findall(r"```yaml\n(groups:.*?)```", PAGE, re.DOTALL)
    return str(found)


def check(rules: Path) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool")
    assert promtool is not None, "the tests use promtool; on Debian: sudo apt-get install prometheus"
    return subprocess.run([promtool, "check", "rules", str(rules)], capture_output=True, text=True, timeout=60)


def test_a_query_that_prometheus_does_not_understand_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps(rules_of(["sum by (gpuspawner_gpus"])))
    assert check(tmp_path / "rules.yml").returncode != 0


def rules_of(expressions: list[str]) -> dict[str, Any]:
    plain = [one.replace("$__rate_interval", "5m").replace("$__range", "1d") for one in expressions]
    rules = [{"record": f"r{index}", "expr": expr} for index, expr in enumerate(plain)]
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    (tmp_path / "dashboard.yml").write_text(json.dumps(rules_of(list(queries()))))  # which is YAML as well
    found = check(tmp_path / "dashboard.yml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_prometheus_understands_the_alerts(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(alerts())
    found = check(tmp_path / "alerts.yml")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("query", [*queries(), alerts()], ids=lambda query: query[:60])
def test_a_query_names_metrics_and_labels_that_there_are(query: str) -> None:
    names = set(NAME.findall(query))
    assert names <= set(SERIES)
    for name, selector in LABELS.findall(query):
        assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= set(SERIES[name].labels)
    grouped = {label.strip() for group in GROUPED.findall(query) for label in group.split(",")}
    assert grouped <= {"le", "namespace", *(label for name in names for label in SERIES[name].labels)}


def test_every_metric_but_what_is_only_for_looking_up_is_on_the_dashboard() -> None:
    shown = {name for query in queries() for name in NAME.findall(query)}
    unseen = [one.name for one in FAMILIES if not shown & set(one.series)]
    assert unseen == ["gpuspawner_info", "gpuspawner_watch_synced", "gpuspawner_ledger_synced"]


def test_panels_have_ids_of_their_own_do_not_overlap_and_say_what_they_show() -> None:
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [
        (x, y)
        for panel in everything
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places))
    assert all(x < 24 for x, _ in places)
    assert all(panel["title"] and panel["description"].endswith(".") for panel in panels())
