"""What stands in values is text: it adds nothing to a manifest, and no template in it is run."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmRenderError, HelmValuesError
from rendering import CHART, render

HOSTILE = 'a"\n  injected: yes\n- injected: yes\n---\ninjected: {{ fail "run" }} \' # \\'
LISTS = {
    "imagePullSecrets": [{"name": HOSTILE}],
    "proxy.extraArgs": [HOSTILE],
    "hub.extraArgs": [HOSTILE],
    "ingress.hosts": [HOSTILE],
    "ingress.tls": [{"hosts": [HOSTILE], "secretName": HOSTILE}],
    "httpRoute.hostnames": [HOSTILE],
    "httpRoute.parentRefs": [{"name": HOSTILE}],
    "login.administrators": [HOSTILE],
    "hub.database.pvc.accessModes": [HOSTILE],
    "proxy.service.loadBalancerSourceRanges": [HOSTILE],
    "restrictedZone.httpProxy.noProxy": [HOSTILE],
    "prePuller.extraImages": [HOSTILE],
    "scheduler.tolerations": [{"key": HOSTILE, "operator": HOSTILE}],
    "monitoring.from": [{"podSelector": {"matchLabels": {"a": HOSTILE}}}],
    "monitoring.serviceMonitor.relabelings": [{"regex": HOSTILE}],
}
MAPS = {
    "commonLabels": {"a": HOSTILE},
    "hub.labels": {HOSTILE: HOSTILE},
    "hub.annotations": {HOSTILE: HOSTILE},
    "hub.service.annotations": {HOSTILE: HOSTILE},
    "hub.nodeSelector": {HOSTILE: HOSTILE},
    "hub.extraEnv": {HOSTILE: HOSTILE},
    "hub.config": {HOSTILE: {"a": HOSTILE}},
    "hub.secretConfig": {HOSTILE: {HOSTILE: HOSTILE}},
    "hub.extraConfig": {HOSTILE: HOSTILE},
    "hub.extraFiles": {HOSTILE: {"mountPath": f"/{HOSTILE}", "stringData": HOSTILE}},
    "hub.services": {HOSTILE: {}},
    "hub.database.pvc.annotations": {HOSTILE: HOSTILE},
    "proxy.labels": {HOSTILE: HOSTILE},
    "proxy.annotations": {HOSTILE: HOSTILE},
    "proxy.service.annotations": {HOSTILE: HOSTILE},
    "ingress.annotations": {HOSTILE: HOSTILE},
    "httpRoute.annotations": {HOSTILE: HOSTILE},
    "placeholders": {"gpu": {"replicas": 1, "memory": HOSTILE}},
    "resourceQuota": {"hard": {HOSTILE: HOSTILE}},
    "prePuller.annotations": {HOSTILE: HOSTILE},
    "scheduler.annotations": {HOSTILE: HOSTILE},
    "monitoring.serviceMonitor.labels": {HOSTILE: HOSTILE},
    "monitoring.dashboard.annotations": {HOSTILE: HOSTILE},
    "monitoring.rules.alertLabels": {HOSTILE: HOSTILE},
    "serviceAccount.annotations": {HOSTILE: HOSTILE},
    "singleuser.serviceAccount.annotations": {HOSTILE: HOSTILE},
    "singleuser.extraFiles": {HOSTILE: {"mountPath": f"/{HOSTILE}", "stringData": HOSTILE}},
    "gpuspawner": {"profiles": {HOSTILE: {"image": HOSTILE, "description": HOSTILE}}},
}
EVERYTHING_ON: dict[str, Any] = {
    "ingress": {"enabled": True},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]},
    "imagePullSecret": {"create": True, "registry": "a", "username": "b", "password": "c"},
    "singleuser": {"serviceAccount": {"create": True}},
    "proxy": {"service": {"type": "LoadBalancer"}},
    "priorityClasses": {"create": True},
    "prePuller": {"hook": {"enabled": True}, "continuous": {"enabled": True}},
    "placeholders": {"gpu": {"replicas": 1}},
    "scheduler": {"enabled": True},
    "monitoring": {"serviceMonitor": {"enabled": True}, "dashboard": {"enabled": True}, "rules": {"enabled": True}},
}


def texts(values: Any, path: str = "") -> Iterator[str]:
    """The paths of all values that are a text by default."""
    if isinstance(values, str):
        yield path.removeprefix(".")
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from texts(value, f"{path}.{key}")


NAMES = ("nameOverride", "fullnameOverride")
TEXTS = dict.fromkeys(texts(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))), HOSTILE)
SAID = {path: value for path, value in {**TEXTS, **LISTS, **MAPS}.items() if path not in NAMES}


def said(path: str, value: Any) -> dict[str, Any]:
    """Everything that the chart can make, and one value."""
    values: dict[str, Any] = json.loads(json.dumps(EVERYTHING_ON))
    *folders, name = path.split(".")
    place = values
    for folder in folders:
        place = place.setdefault(folder, {})
    place[name] = value
    return values


def keys(item: Any) -> Iterator[str]:
    if isinstance(item, dict):
        for key, value in item.items():
            yield key
            yield from keys(value)
    elif isinstance(item, list):
        for value in item:
            yield from keys(value)


@pytest.fixture(scope="module")
def without_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as its templates alone defend it."""
    chart = tmp_path_factory.mktemp("chart") / "gpuspawner"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("values.schema.json"))
    return chart


@pytest.mark.parametrize("path", SAID)
def test_a_value_cannot_add_to_a_manifest(path: str, without_schema: Path) -> None:
    """It is either refused by a template that says why, or stays what it is."""
    manifests, refused = None, ""
    try:
        manifests = render(said(path, SAID[path]), chart=without_schema)
    except HelmRenderError as error:
        refused = str(error)
    assert "error calling fail: run" not in refused, "a template in the value was run"
    if manifests is None:
        assert path.partition(".")[0] in refused
    else:
        assert len(manifests.objects) >= len(render(EVERYTHING_ON).objects) - 1
        assert "injected" not in {key for item in manifests for key in keys(item)}


@pytest.mark.parametrize("path", NAMES)
def test_what_names_are_made_of_is_refused_where_no_name_can_be_made_of_it(path: str) -> None:
    with pytest.raises(HelmValuesError):
        render(said(path, HOSTILE))
