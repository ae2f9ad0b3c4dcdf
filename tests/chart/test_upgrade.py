"""From every version that is kept in tests/data/chart-VERSION, `helm upgrade` goes through, and no data is left behind.

`python tools/keep_chart.py` keeps another one, at a release.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from variants import VARIANTS, rendered

DATA = Path(__file__).parents[1] / "data"
KEPT = sorted(DATA.glob("chart-*/*.yaml"))
# What Kubernetes lets nobody change, by kind: https://kubernetes.io/docs/reference/kubernetes-api/
IMMUTABLE: dict[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "PriorityClass": ("value", "preemptionPolicy"),
    "RoleBinding": ("roleRef",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
}
LASTING = ("Namespace", "PersistentVolumeClaim", "Secret", "Service")
"""Kinds that hold what must outlive an upgrade, or the names that running servers go by."""


def before(kept: Path) -> list[dict[str, Any]]:
    """The objects of a release of that version, without those that Helm makes for a moment."""
    return [item for item in yaml.safe_load_all(kept.read_text(encoding="utf-8")) if not _is_hook(item)]


def now(kept: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """What the chart makes today of the same values, by identity."""
    [variant] = [name for name in VARIANTS if name.replace(" ", "-") == kept.stem]
    return {_identity(item): item for item in rendered(variant)}


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_upgrade_changes_nothing_that_kubernetes_lets_nobody_change(kept: Path) -> None:
    new = now(kept)
    for item in before(kept):
        if (changed := new.get(_identity(item))) is not None:
            for path in IMMUTABLE.get(item["kind"], ()):
                assert _at(changed, path) == _at(item, path), f"{path} of {_identity(item)}"


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_upgrade_leaves_no_data_behind_and_keeps_the_names_that_servers_go_by(kept: Path) -> None:
    new = now(kept)
    lasting = [item for item in before(kept) if item["kind"] in LASTING]
    assert lasting
    assert [_identity(item) for item in lasting if _identity(item) not in new] == []
    for service in (item for item in lasting if item["kind"] == "Service"):
        ports = {port["port"] for port in new[_identity(service)]["spec"]["ports"]}
        assert ports >= {port["port"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_pods_of_the_version_before_are_selected_until_they_are_replaced(kept: Path) -> None:
    """A Service, a budget or a policy that no longer knows the old pods cuts them off while the new ones start."""
    new = now(kept)
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in before(kept) if item["kind"] == "Deployment"]
    for item in before(kept):
        if item["kind"] in ("Service", "PodDisruptionBudget") and _identity(item) in new:
            chosen = [labels for labels in pods if _selected(item) <= labels.items()]
            assert chosen == [labels for labels in pods if _selected(new[_identity(item)]) <= labels.items()]


def test_versions_are_kept() -> None:
    assert "chart-0.1.0" in {path.parent.name for path in KEPT}


def _selected(item: dict[str, Any]) -> set[tuple[str, str]]:
    selector = item["spec"].get("selector") or {"none": "none"}
    return set(selector.get("matchLabels", selector).items())


def _identity(item: dict[str, Any]) -> tuple[str, ...]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _at(item: Any, path: str) -> Any:
    for key in path.split("."):
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _is_hook(item: dict[str, Any]) -> bool:
    return "helm.sh/hook" in (item["metadata"].get("annotations") or {})
