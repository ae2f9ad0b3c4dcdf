"""ResourceQuota: what objects use, whether one more fits, and the quota's status."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from gpuspawner.local.apiserver.pod_defaults import containers, qos_class
from gpuspawner.local.apiserver.quantities import add, canonical, is_extended, number, subtract
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["QuotaController", "admit_to_quotas", "pod_resources", "quota_status", "usage"]

Object = dict[str, Any]
Usage = dict[str, str]
_COUNTED = ("configmaps", "persistentvolumeclaims", "pods", "resourcequotas", "secrets", "services")
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def _total(parts: Iterable[Usage]) -> Usage:
    total: Usage = {}
    for part in parts:
        for name, value in part.items():
            total[name] = add(total.get(name, "0"), value)
    return total


def pod_resources(spec: Object, kind: str) -> Usage:
    """Return a pod's total ``requests`` or ``limits``: containers together, or an init container above that."""
    running = _total(container.get("resources", {}).get(kind, {}) for container in spec.get("containers", []))
    for container in spec.get("initContainers", []):
        for name, value in container.get("resources", {}).get(kind, {}).items():
            if number(value) > number(running.get(name, "0")):
                running[name] = value
    if kind == "requests":
        running = _total((running, spec.get("overhead", {})))
    return running


def usage(resource: str, obj: Object) -> Usage:
    """Return what one object uses, by the names a quota limits; a pod that ended only counts as ``count/pods``."""
    used: Usage = {f"count/{resource}": "1"}
    if resource == "persistentvolumeclaims":
        storage = obj["spec"].get("resources", {}).get("requests", {}).get("storage", "0")
        used |= {"persistentvolumeclaims": "1", "requests.storage": storage}
        name = obj["spec"].get("storageClassName")
        if name:
            prefix = f"{name}.storageclass.storage.k8s.io"
            used |= {f"{prefix}/persistentvolumeclaims": "1", f"{prefix}/requests.storage": storage}
    elif resource != "pods":
        used |= {resource: "1"} if resource in _COUNTED else {}
    elif obj.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
        used["pods"] = "1"
        requests, limits = (pod_resources(obj["spec"], kind) for kind in ("requests", "limits"))
        used |= {f"requests.{name}": value for name, value in requests.items()}
        used |= {name: value for name, value in requests.items() if name in _COMPUTE}
        used |= {f"limits.{name}": value for name, value in limits.items() if not is_extended(name)}
    return used


def _scopes_match(quota: Object, resource: str, obj: Object) -> bool:
    spec = quota.get("spec", {})
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes", [])]
    scopes += spec.get("scopeSelector", {}).get("matchExpressions", [])
    return all(resource == "pods" and _in_scope(scope, obj["spec"]) for scope in scopes)


def _in_scope(scope: Object, spec: Object) -> bool:
    name, values = scope["scopeName"], scope.get("values", [])
    if name == "PriorityClass":
        own = spec.get("priorityClassName", "")
        operator = scope.get("operator")
        if operator == "In":
            return own in values
        if operator == "NotIn":
            return own not in values
        return bool(own) is (operator == "Exists")
    terminating = spec.get("activeDeadlineSeconds") is not None
    best_effort = qos_class(spec) == "BestEffort"
    is_true = {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
    }
    return is_true.get(name, False)


def _unspecified(hard: Usage, spec: Object) -> list[str]:
    """Say which limited compute resources a pod leaves open, as ``limits.memory for: c``."""
    said = []
    for name in sorted(hard):
        kind, _, what = name.rpartition(".") if name not in _COMPUTE else ("requests", ".", name)
        if what not in _COMPUTE or kind not in ("requests", "limits"):
            continue
        open_ = [c["name"] for c in containers(spec) if what not in c.get("resources", {}).get(kind, {})]
        if open_:
            said.append(f"{name} for: {','.join(open_)}")
    return said


def quota_status(store: Store, quota: Object) -> Object:
    """Return a quota's status from what is in its namespace now."""
    hard = _canonical(quota)
    namespace = quota["metadata"]["namespace"]
    used = _total(
        usage(resource, stored.obj)
        for resource in _quota_resources(hard)
        for stored in store.items(resource, namespace)
        if _scopes_match(quota, resource, stored.obj)
    )
    return {"hard": hard, "used": {name: canonical(used.get(name, "0")) for name in hard}}


def _quota_resources(hard: Iterable[str]) -> set[str]:
    found = set()
    for name in hard:
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        elif "storage" in name and "ephemeral" not in name:
            found.add("persistentvolumeclaims")
        else:
            found.add(name if name in _COUNTED else "pods")
    return found


def admit_to_quotas(store: Store, resource: str, obj: Object, old: Object | None = None) -> None:
    """Refuse an object, or its growth since ``old``, that its namespace's quotas have no room for (StatusError 403)."""
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    for stored in store.items("resourcequotas", namespace):
        quota = stored.obj
        if not _scopes_match(quota, resource, obj):
            continue
        hard = quota.get("spec", {}).get("hard", {})
        title = quota["metadata"]["name"]
        if resource == "pods" and old is None:
            missing = _unspecified(hard, obj["spec"])
            if missing:
                why = f"failed quota: {title}: must specify {'; '.join(missing)}"
                raise StatusError.forbidden(resource, name, why)
        asked = _growth(usage(resource, obj), usage(resource, old) if old else {})
        asked = {what: value for what, value in asked.items() if what in hard}
        if not asked:
            continue
        used = quota.get("status", {}).get("used") or quota_status(store, quota)["used"]
        over = sorted(what for what in asked if number(used[what]) + number(asked[what]) > number(hard[what]))
        if over:
            shown = (",".join(f"{what}={canonical(of[what])}" for what in over) for of in (asked, used, hard))
            requested, taken, limited = shown
            why = f"exceeded quota: {title}, requested: {requested}, used: {taken}, limited: {limited}"
            raise StatusError.forbidden(resource, name, why)


class QuotaController:
    """Keeps the status of every quota, change by change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, Usage] = {}
        for resource in _COUNTED:
            for stored in store.items(resource):
                self._known[stored.obj["metadata"]["uid"]] = usage(resource, stored.obj)
        for stored in store.items("resourcequotas"):
            self._recount(stored.obj)

    def on_change(self, resource: str, type_: str, obj: Object) -> None:
        """Count a change of the store."""
        if resource not in _COUNTED:
            return
        uid, namespace = obj["metadata"]["uid"], obj["metadata"]["namespace"]
        before = self._known.pop(uid, {})
        after = {} if type_ == "DELETED" else usage(resource, obj)
        if after:
            self._known[uid] = after
        if resource == "resourcequotas" and type_ != "DELETED":
            standing = self.store.find(resource, namespace, obj["metadata"]["name"])
            if standing is not None and standing.get("status", {}).get("hard") != _canonical(standing):
                self._recount(standing)
        if before == after:
            return
        for stored in self.store.items("resourcequotas", namespace):
            self._count(stored.obj, before, after)

    def _count(self, quota: Object, before: Usage, after: Usage) -> None:
        used = quota.get("status", {}).get("used")
        spec = quota.get("spec", {})
        if used is None or spec.get("scopes") or spec.get("scopeSelector"):
            self._recount(quota)
            return
        new = dict(used)
        for name in new:
            if before.get(name) != after.get(name):
                new[name] = subtract(add(new[name], after.get(name, "0")), before.get(name, "0"))
        self._write(quota, quota["status"] | {"used": new})

    def _recount(self, quota: Object) -> None:
        self._write(quota, quota_status(self.store, quota))

    def _write(self, quota: Object, status: Object) -> None:
        metadata = quota["metadata"]
        self.store.update_status("resourcequotas", metadata["namespace"], metadata["name"], status)


def _canonical(quota: Object) -> Usage:
    return {name: canonical(value) for name, value in quota.get("spec", {}).get("hard", {}).items()}


def _growth(new: Usage, old: Usage) -> Usage:
    grown = {name: number(value) - number(old.get(name, "0")) for name, value in new.items()}
    return {name: new[name] if name not in old else str(more) for name, more in grown.items() if more > Decimal(0)}
