"""The columns and rows that ``kubectl get`` shows."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from gpuspawner.local.apiserver.workload_table import WORKLOAD_COLUMNS, WORKLOAD_ROWS

__all__ = ["age", "columns", "row"]

Object = dict[str, Any]
NONE = "<none>"
UNKNOWN = "<unknown>"


@cache
def _all_columns() -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = json.loads(
        (files("gpuspawner.local.apiserver") / "columns.json").read_text("utf-8")
    )
    return found


def columns(resource: str) -> list[Object]:
    """Return a resource's column definitions."""
    return _all_columns().get(resource) or WORKLOAD_COLUMNS.get(resource) or _all_columns()["*"]


def age(since: str | None, now: datetime) -> str:
    """Write how long ago a timestamp was, as kubectl does: ``5s``, ``3m20s``, ``2h``, ``4d3h``."""
    if not since:
        return UNKNOWN
    seconds = int((now - datetime.fromisoformat(since)).total_seconds())
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(big: int, unit: str, small: int, part: str) -> str:
    return f"{big}{unit}{small}{part}" if small else f"{big}{unit}"


def row(resource: str, obj: Object, now: datetime) -> list[Any]:
    """Return an object's cells, one for each column."""
    cells = _ROWS.get(resource) or WORKLOAD_ROWS.get(resource, _plain)
    return cells(obj, age(obj["metadata"].get("creationTimestamp"), now), now)


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _plain(obj: Object, aged: str, now: datetime) -> list[Any]:
    return [_name(obj), obj["metadata"].get("creationTimestamp")]


def _pod(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec, status = obj.get("spec", {}), obj.get("status", {})
    states = status.get("containerStatuses", [])
    ready = sum(bool(state.get("ready")) for state in states)
    gates = spec.get("readinessGates", [])
    return [
        _name(obj),
        f"{ready}/{len(spec.get('containers', []))}",
        pod_status(obj),
        _restarts(states, now),
        aged,
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"0/{len(gates)}" if gates else NONE,
    ]


def _restarts(states: list[Object], now: datetime) -> str:
    count = sum(state.get("restartCount", 0) for state in states)
    ended = [state.get("lastState", {}).get("terminated", {}).get("finishedAt") for state in states]
    last = max((when for when in ended if when), default=None)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_status(pod: Object) -> str:
    """Return the word in the STATUS column."""
    status = pod.get("status", {})
    reason = status.get("reason") or status.get("phase", "")
    if any(c["type"] == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in status.get("conditions", [])):
        reason = "SchedulingGated"
    running = False
    for container in reversed(status.get("containerStatuses", [])):
        state = container.get("state", {})
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            code = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
            reason = ended.get("reason") or code
        elif "running" in state and container.get("ready"):
            running = True
    if reason == "Completed" and running:
        is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        reason = "Running" if is_ready else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return str(reason)


def _node(obj: Object, aged: str, now: datetime) -> list[Any]:
    metadata, status = obj["metadata"], obj.get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    state = {"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")
    if obj.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in metadata.get("labels", {}) if key.startswith(prefix))
    addresses = {one["type"]: one["address"] for one in status.get("addresses", [])}
    info = status.get("nodeInfo", {})
    return [
        _name(obj), state, ",".join(roles) or NONE, aged, info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE), info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN, info.get("containerRuntimeVersion") or UNKNOWN,
    ]  # fmt: skip


def _event(obj: Object, aged: str, now: datetime) -> list[Any]:
    about, source = obj.get("involvedObject", {}), obj.get("source", {})
    series = obj.get("series", {})
    first = obj.get("firstTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    count = series.get("count") or obj.get("count") or 1
    seen = age(last, now) if count == 1 else f"{age(last, now)} (x{count} over {age(first, now)})"
    where = source.get("component") or obj.get("reportingComponent", "")
    if source.get("host"):
        where += f", {source['host']}"
    return [
        seen, obj.get("type", ""), obj.get("reason", ""), f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""), where, obj.get("message", "").strip(), age(first, now), count, _name(obj),
    ]  # fmt: skip


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(spec: Object) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in spec.get("accessModes", []))


def _phase(obj: Object) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else obj.get("status", {}).get("phase", "")


def _claim(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    bound = bool(spec.get("volumeName"))
    size = status.get("capacity", {}).get("storage", "") if bound else ""
    attributes = spec.get("volumeAttributesClassName") or "<unset>"
    kind = spec.get("storageClassName", "")
    modes = _modes(status) if bound else ""
    return [
        _name(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        size,
        modes,
        kind,
        attributes,
        aged,
        spec.get("volumeMode", ""),
    ]


def _volume(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status", {})
    claim = spec.get("claimRef")
    return [
        _name(obj), spec.get("capacity", {}).get("storage", ""), _modes(spec),
        spec.get("persistentVolumeReclaimPolicy", ""), _phase(obj),
        f"{claim['namespace']}/{claim['name']}" if claim else "", spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>", status.get("reason", ""), aged, spec.get("volumeMode", ""),
    ]  # fmt: skip


def _service(obj: Object, aged: str, now: datetime) -> list[Any]:
    spec = obj["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports", [])) or NONE
    selector = ",".join(f"{key}={value}" for key, value in spec.get("selector", {}).items()) or NONE
    outside = spec.get("externalName") if spec.get("type") == "ExternalName" else NONE
    return [_name(obj), spec.get("type"), spec.get("clusterIP") or NONE, outside, ports, aged, selector]


def _quota(obj: Object, aged: str, now: datetime) -> list[Any]:
    used, hard = (obj.get("status", {}).get(kind, {}) for kind in ("used", "hard"))
    shown = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    requests = ", ".join(text for name, text in shown.items() if not name.startswith("limits."))
    limits = ", ".join(text for name, text in shown.items() if name.startswith("limits."))
    return [_name(obj), requests, limits, aged]


def _priority_class(obj: Object, aged: str, now: datetime) -> list[Any]:
    return [_name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), aged, obj.get("preemptionPolicy", "")]


def _storage_class(obj: Object, aged: str, now: datetime) -> list[Any]:
    note = obj["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    name = _name(obj) + (" (default)" if note else "")
    expansion = bool(obj.get("allowVolumeExpansion"))
    return [name, obj.get("provisioner"), obj.get("reclaimPolicy"), obj.get("volumeBindingMode"), expansion, aged]


_ROWS: dict[str, Callable[[Object, str, datetime], list[Any]]] = {
    "configmaps": lambda o, aged, now: [_name(o), len(o.get("data", {})) + len(o.get("binaryData", {})), aged],
    "events": _event,
    "leases.coordination.k8s.io": lambda o, aged, now: [_name(o), o.get("spec", {}).get("holderIdentity", ""), aged],
    "namespaces": lambda o, aged, now: [_name(o), _phase(o), aged],
    "nodes": _node,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "pods": _pod,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "resourcequotas": _quota,
    "secrets": lambda o, aged, now: [_name(o), o.get("type", ""), len(o.get("data", {})), aged],
    "serviceaccounts": lambda o, aged, now: [_name(o), len(o.get("secrets", [])), aged],
    "services": _service,
    "storageclasses.storage.k8s.io": _storage_class,
}
