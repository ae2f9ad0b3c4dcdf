"""How Prometheus and Grafana learn of a hub: who may read what, and which alerts go off when."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmRenderError
from network_rules import Network, Pod
from rendered_servers import server_pod
from rendering import CHART, decoded, merged, render

from gpuspawner.values.derive import sections
from gpuspawner.values.document import parse_secrets, parse_values

ON = {"monitoring": {"serviceMonitor": {"enabled": True}, "dashboard": {"enabled": True}, "rules": {"enabled": True}}}


def test_a_service_monitor_finds_the_hub_by_its_labels_and_port() -> None:
    manifests = render(merged(ON, {"hub": {"baseUrl": "/jupyter/"}}))
    monitor, service = manifests.one("ServiceMonitor", "hub"), manifests.one("Service", "hub")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/jupyter/hub/metrics"
    selected = [
        item["metadata"]["name"]
        for item in manifests.all("Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
    ]
    assert selected == ["gpuspawner-hub"]


def test_prometheus_shows_a_token_of_a_service_that_may_read_metrics_and_nothing_else() -> None:
    manifests = render(ON)
    (endpoint,) = manifests.one("ServiceMonitor", "hub")["spec"]["endpoints"]
    key = endpoint["authorization"]["credentials"]
    assert endpoint["authorization"]["type"] == "Bearer"
    token = decoded(manifests.one("Secret", key["name"].removeprefix("gpuspawner-")))[key["key"]]
    said = decoded(manifests.one("Secret", "secret-values"))["secret-values.json"]
    values = parse_values(manifests.one("ConfigMap", "values")["data"]["values.json"], said)
    hub = sections(values, parse_secrets(decoded(manifests.one("Secret", "secrets"))))["JupyterHub"]
    (service,) = [one for one in hub["services"] if one["api_token"] == token]
    (role,) = [one for one in hub["load_roles"] if service["name"] in one.get("services", ())]
    assert role["scopes"] == ["read:metrics"]


def test_without_a_service_monitor_there_is_neither_token_nor_role() -> None:
    manifests = render()
    assert "service-token.prometheus" not in decoded(manifests.one("Secret", "secrets"))
    assert (
        "prometheus" not in json.loads(manifests.one("ConfigMap", "values")["data"]["values.json"])["hub"]["loadRoles"]
    )


@pytest.mark.parametrize(
    ("said", "labels", "namespace", "reaches"),
    [
        ({}, {"app.kubernetes.io/name": "prometheus"}, "monitoring", True),
        ({}, {"app.kubernetes.io/name": "grafana"}, "monitoring", False),
        ({"monitoring": {"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}}, {"a": "b"}, "jupyter", True),
        (
            {"monitoring": {"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}},
            {"app.kubernetes.io/name": "prometheus"},
            "monitoring",
            False,
        ),
    ],
    ids=["Prometheus", "somebody else", "who the values name", "Prometheus, where the values name another"],
)
def test_prometheus_reaches_the_hub_through_its_network_policy(
    said: dict[str, Any], labels: dict[str, str], namespace: str, reaches: bool
) -> None:
    manifests = render(merged(ON, said))
    hub = Pod.of(manifests.one("Deployment", "hub"), "10.244.0.10")
    network = Network(manifests.all("NetworkPolicy"), {})
    assert network.allows(Pod(namespace, labels, "10.244.7.7"), hub, 8081) is reaches
    server = Pod.of(server_pod(manifests), "10.244.0.12")
    assert not network.allows(Pod(namespace, labels, "10.244.7.7"), server, 8888)


def test_grafana_gets_the_dashboard_of_the_repository() -> None:
    config = render(ON).one("ConfigMap", "dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = config["data"].values()
    assert json.loads(text) == json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))


def groups(values: dict[str, Any]) -> list[dict[str, Any]]:
    return list(render(values).one("PrometheusRule", "hub")["spec"]["groups"])


def test_alerts_have_the_labels_of_the_values_and_some_can_be_left_out() -> None:
    said = {"alertLabels": {"team": "core", "severity": "page"}, "without": ["GPUsOutOfService"]}
    rules = {
        rule["alert"]: rule for group in groups(merged(ON, {"monitoring": {"rules": said}})) for rule in group["rules"]
    }
    assert "GPUsOutOfService" not in rules
    assert all(rule["labels"] == {"team": "core", "severity": "page"} for rule in rules.values())
    with pytest.raises(HelmRenderError, match=r'monitoring.rules.without: found "QueueIsLonk", allowed: .*QueueIsLong'):
        render(merged(ON, {"monitoring": {"rules": {"without": ["QueueIsLonk"]}}}))


def test_the_operators_page_says_what_to_do_about_each_alert() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([A-Z]\w+)` \| .{20,} \|$", page, re.MULTILINE)
    assert told == [rule["alert"] for group in groups(ON) for rule in group["rules"]]


HUB = 'namespace="jupyter"'
CALM = {
    f'gpuspawner_watch_up{{{HUB},resource="pods"}}': "1x300",
    f'gpuspawner_watch_silent_seconds{{{HUB},resource="pods"}}': "20x300",
    f"gpuspawner_ledger_up{{{HUB}}}": "1x300",
    f'gpuspawner_launches_waiting{{{HUB},gpu_class="small"}}': "3x300",
    f'gpuspawner_gpus{{{HUB},gpu_class="small",state="free"}}': "0x300",
    f'gpuspawner_gpus{{{HUB},gpu_class="small",state="cordoned"}}': "0x300",
    f'gpuspawner_launches_total{{{HUB},outcome="failed",reason="exited"}}': "0x300",
}
"""A hub with three launches in the queue for hours, since all GPUs are taken."""


# What becomes of one series of it, which alert goes off after how many minutes, and what it says of what.
TROUBLE: list[tuple[int, str, str, int, dict[str, str], str]] = [
    (0, "1x10 0x290", "HubDoesNotSeeTheCluster", 17, {"resource": "pods"}, "hears nothing of pods"),
    (1, "0+60x300", "HubDoesNotSeeTheCluster", 12, {"resource": "pods"}, "hears nothing of pods"),
    (2, "1x10 0x290", "LedgerTakesNoWrites", 17, {}, "until the database of the ledger answers"),
    (3, "12x300", "QueueIsLong", 31, {"gpu_class": "small"}, "12 launches wait for a GPU of class small"),
    (4, "2x300", "LaunchesWaitBesideFreeGPUs", 31, {"gpu_class": "small"}, "although small GPUs are free"),
    (5, "2x3000", "GPUsOutOfService", 2881, {"gpu_class": "small", "state": "cordoned"}, "2 small GPUs are cordoned"),
    (6, "0+1x300", "LaunchesFail", 20, {"reason": "exited"}, "Launches fail with exited"),
]


def test_alerts_go_off_when_they_should_and_not_before(tmp_path: Path) -> None:
    """Promtool plays the hub's metrics to the rules that the chart renders."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "the tests use promtool; on Debian: sudo apt-get install prometheus"
    rules = groups(ON)
    every = {rule["alert"]: rule for group in rules for rule in group["rules"]}
    assert {alert for _, _, alert, *_ in TROUBLE} == every.keys()
    plays = [play(CALM, [(alert, 240, []) for alert in every])]
    for place, values, alert, minutes, labels, words in TROUBLE:
        series = {name: values if index == place else calm for index, (name, calm) in enumerate(CALM.items())}
        said = every[alert]["annotations"]["summary"].replace("{{ $value }}", values.partition("x")[0])
        for name, value in labels.items():
            said = said.replace(f"{{{{ $labels.{name} }}}}", value)
        assert words in said
        labels = {"namespace": "jupyter", **every[alert]["labels"], **labels}
        on = [{"exp_labels": labels, "exp_annotations": {"summary": said}}]
        plays.append(play(series, [(alert, 1, []), (alert, minutes, on)]))
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": rules}))
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": plays}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    command = [promtool, "test", "rules", str(tmp_path / "tests.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def play(series: dict[str, str], expected: list[tuple[str, int, list[Any]]]) -> dict[str, Any]:
    """A test as promtool has it: what is measured each minute, and which alerts are there after how many."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"alertname": alert, "eval_time": f"{minutes}m", "exp_alerts": alerts}
            for alert, minutes, alerts in expected
        ],
    }
