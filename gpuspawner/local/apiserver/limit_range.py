"""LimitRange: defaults and bounds of a namespace's containers, pods and claims."""

from collections.abc import Iterator
from typing import Any

from gpuspawner.local.apiserver.pod_defaults import containers
from gpuspawner.local.apiserver.quantities import canonical, number
from gpuspawner.local.apiserver.quota import pod_resources
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import Store

__all__ = ["apply_limit_ranges", "check_limit_ranges"]

Object = dict[str, Any]
Usage = dict[str, str]


def _limits(store: Store, namespace: str, kind: str) -> Iterator[Object]:
    for stored in store.items("limitranges", namespace):
        for limit in stored.obj.get("spec", {}).get("limits", []):
            if limit.get("type") == kind:
                yield limit


def apply_limit_ranges(store: Store, pod: Object) -> None:
    """Give, in place, the containers of a pod the defaults of its namespace, and say so in an annotation."""
    said = []
    for limit in _limits(store, pod["metadata"]["namespace"], "Container"):
        for container in containers(pod["spec"]):
            resources = container.setdefault("resources", {})
            for kind, defaults in (("requests", "defaultRequest"), ("limits", "default")):
                standing = resources.get(kind, {})
                added = {name: value for name, value in limit.get(defaults, {}).items() if name not in standing}
                if added:
                    resources[kind] = standing | added
                    names = ", ".join(sorted(added))
                    said.append(f"{names} {kind.removesuffix('s')} for container {container.get('name', '')}")
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations["kubernetes.io/limit-ranger"] = "LimitRanger plugin set: " + "; ".join(said)


def check_limit_ranges(store: Store, resource: str, obj: Object) -> None:
    """Refuse (StatusError 403) what is out of its namespace's bounds."""
    namespace = obj["metadata"]["namespace"]
    said: list[str] = []
    if resource == "pods":
        for limit in _limits(store, namespace, "Container"):
            for container in obj["spec"].get("containers", []):
                resources = container.get("resources", {})
                said += _outside(limit, resources.get("requests", {}), resources.get("limits", {}))
        for limit in _limits(store, namespace, "Pod"):
            requests, limits = (pod_resources(obj["spec"], kind) for kind in ("requests", "limits"))
            said += _outside(limit, requests, limits)
    elif resource == "persistentvolumeclaims":
        requests = obj["spec"].get("resources", {}).get("requests", {})
        for limit in _limits(store, namespace, "PersistentVolumeClaim"):
            said += _outside(limit, requests, {})
    if said:
        why = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
        raise StatusError.forbidden(resource, obj["metadata"]["name"], why)


def _outside(limit: Object, requests: Usage, limits: Usage) -> list[str]:
    kind, is_claim = limit["type"], limit["type"] == "PersistentVolumeClaim"
    said = []
    for name, least in sorted(limit.get("min", {}).items()):
        prefix = f"minimum {name} usage per {kind} is {canonical(least)}"
        if name not in requests:
            said.append(f"{prefix}.  No request is specified")
        elif number(requests[name]) < number(least):
            said.append(f"{prefix}, but request is {canonical(requests[name])}")
    for name, most in sorted(limit.get("max", {}).items()):
        asked = requests if is_claim else limits
        word = "request" if is_claim else "limit"
        prefix = f"maximum {name} usage per {kind} is {canonical(most)}"
        if name not in asked:
            said.append(f"{prefix}.  No {word} is specified")
        elif number(asked[name]) > number(most):
            said.append(f"{prefix}, but {word} is {canonical(asked[name])}")
    for name, ratio in sorted(limit.get("maxLimitRequestRatio", {}).items()):
        if name in requests and name in limits and number(requests[name]):
            actual = number(limits[name]) / number(requests[name])
            if actual > number(ratio):
                prefix = f"{name} max limit to request ratio per {kind} is {ratio}"
                said.append(f"{prefix}, but provided ratio is {float(actual):.6f}")
    return said
