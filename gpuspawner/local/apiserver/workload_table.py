"""What ``kubectl get`` shows of workloads, ingresses, policies and budgets.

Source: ``pkg/printers/internalversion/printers.go`` of https://github.com/kubernetes/kubernetes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gpuspawner.local.apiserver.selectors import selector_text

__all__ = ["WORKLOAD_COLUMNS", "WORKLOAD_ROWS"]

Object = dict[str, Any]
_NONE = "<none>"
_WIDE = ("Containers", "Images", "Selector")
_NUMBERS = ("Desired", "Current", "Ready", "Up-to-date", "Available", "Active", "Allowed Disruptions")
_TEXT = frozenset({"deployments.apps", "statefulsets.apps"})
"""Where Ready is written as ``1/2``."""


def _columns(resource: str, *names: str) -> list[Object]:
    found = []
    for name in ("Name", *names):
        number = name in _NUMBERS and not (name == "Ready" and resource in _TEXT)
        column = {"name": name, "type": "integer" if number else "string", "priority": int(name in _WIDE)}
        found.append(column | {"format": "name" if name == "Name" else "", "description": name})
    return found


def _plain(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _wide(obj: Object) -> list[str]:
    spec = obj.get("spec", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    names, images = (",".join(one.get(key, "") for one in containers) for key in ("name", "image"))
    return [names, images, selector_text(spec.get("selector") or {}) or _NONE]


def _count(obj: Object, *keys: str) -> list[int]:
    return [obj.get("status", {}).get(key, 0) for key in keys]


def _deployment(obj: Object, aged: str, now: datetime) -> list[Any]:
    ready, updated, available = _count(obj, "readyReplicas", "updatedReplicas", "availableReplicas")
    return [_plain(obj), f"{ready}/{obj.get('spec', {}).get('replicas', 1)}", updated, available, aged, *_wide(obj)]


def _replica_set(obj: Object, aged: str, now: datetime) -> list[Any]:
    counts = _count(obj, "replicas", "readyReplicas")
    return [_plain(obj), obj.get("spec", {}).get("replicas", 1), *counts, aged, *_wide(obj)]


def _stateful_set(obj: Object, aged: str, now: datetime) -> list[Any]:
    (ready,) = _count(obj, "readyReplicas")
    return [_plain(obj), f"{ready}/{obj.get('spec', {}).get('replicas', 1)}", aged, *_wide(obj)[:2]]


def _daemon_set(obj: Object, aged: str, now: datetime) -> list[Any]:
    keys = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    counts = _count(obj, *keys, "updatedNumberScheduled", "numberAvailable")
    chosen = obj.get("spec", {}).get("template", {}).get("spec", {}).get("nodeSelector", {})
    return [_plain(obj), *counts, selector_text({"matchLabels": chosen}) or _NONE, aged, *_wide(obj)]


def _job(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    true = [one["type"] for one in status.get("conditions", []) if one["status"] == "True"]
    word = next((kind for kind in ("Complete", "Failed") if kind in true), "Running")
    wanted = spec.get("completions")
    of = wanted if wanted is not None else f"1 of {spec.get('parallelism', 1)}"
    begun, ended = status.get("startTime"), status.get("completionTime")
    if spec.get("suspend"):
        word = "Suspended"
    took = _seconds(begun, ended, now) if begun else ""
    return [_plain(obj), word, f"{status.get('succeeded', 0)}/{of}", took, aged, *_wide(obj)]


def _seconds(begun: str, ended: str | None, now: datetime) -> str:
    end = datetime.fromisoformat(ended) if ended else now
    return f"{int((end - datetime.fromisoformat(begun)).total_seconds())}s"


def _cron_job(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    last = status.get("lastScheduleTime") or _NONE
    suspended = str(bool(spec.get("suspend")))
    zone = spec.get("timeZone") or _NONE
    return [_plain(obj), spec.get("schedule", ""), zone, suspended, len(status.get("active", [])), last, aged]


def _ingress(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec = obj.get("spec", {})
    hosts = ",".join(rule.get("host") or "*" for rule in spec.get("rules", [])) or "*"
    points = obj.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    address = ",".join(point.get("ip") or point.get("hostname", "") for point in points)
    ports = "80, 443" if spec.get("tls") else "80"
    return [_plain(obj), spec.get("ingressClassName") or _NONE, hosts, address, ports, aged]


def _policy(obj: Object, aged: str, now: datetime) -> list[Any]:
    return [_plain(obj), selector_text(obj.get("spec", {}).get("podSelector") or {}) or _NONE, aged]


def _budget(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec = obj.get("spec", {})
    bounds = [str(spec.get(key, "N/A")) for key in ("minAvailable", "maxUnavailable")]
    return [_plain(obj), *bounds, *_count(obj, "disruptionsAllowed"), aged]


_SHOWN: dict[str, tuple[tuple[str, ...], Callable[[Object, str, datetime], list[Any]]]] = {
    "cronjobs.batch": (
        ("Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"),
        _cron_job,
    ),
    "daemonsets.apps": (
        ("Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", *_WIDE),
        _daemon_set,
    ),
    "deployments.apps": (("Ready", "Up-to-date", "Available", "Age", *_WIDE), _deployment),
    "ingresses.networking.k8s.io": (("Class", "Hosts", "Address", "Ports", "Age"), _ingress),
    "jobs.batch": (("Status", "Completions", "Duration", "Age", *_WIDE), _job),
    "networkpolicies.networking.k8s.io": (("Pod-Selector", "Age"), _policy),
    "poddisruptionbudgets.policy": (("Min Available", "Max Unavailable", "Allowed Disruptions", "Age"), _budget),
    "replicasets.apps": (("Desired", "Current", "Ready", "Age", *_WIDE), _replica_set),
    "statefulsets.apps": (("Ready", "Age", *_WIDE[:2]), _stateful_set),
}

WORKLOAD_COLUMNS: dict[str, list[Object]] = {key: _columns(key, *names) for key, (names, _) in _SHOWN.items()}
WORKLOAD_ROWS = {key: row for key, (_, row) in _SHOWN.items()}
