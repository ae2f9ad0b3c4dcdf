"""What the server fills in where a pod's spec leaves it out: in pods and in the templates of workloads."""

from typing import Any

from gpuspawner.local.apiserver.quantities import same_quantity

__all__ = ["containers", "default_all", "default_pod", "qos_class"]

Object = dict[str, Any]
_SOURCES_WITH_MODE = ("secret", "configMap", "projected", "downwardAPI")


def containers(spec: Object) -> list[Object]:
    """Return the init containers and the containers of a pod's spec."""
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def default_all(into: Object, values: Object) -> None:
    """Set, in place, what is not set yet."""
    for key, value in values.items():
        into.setdefault(key, value)


def default_pod(obj: Object) -> None:
    """Fill in, in place, the spec of a pod or of a pod template."""
    spec = obj.setdefault("spec", {})
    default_all(spec, {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst"})
    default_all(spec, {"securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": True})
    for container in containers(spec):
        _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes", []):
        _pod_volume(volume)


def _container(container: Object, host_network: bool) -> None:
    default_all(container, {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"})
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    resources = container.setdefault("resources", {})
    if "limits" in resources:
        default_all(resources.setdefault("requests", {}), resources["limits"])
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for handler in container.get("lifecycle", {}).values():
        if isinstance(handler, dict):
            _handler(handler)


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


def _probe(probe: Object) -> None:
    default_all(probe, {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    _handler(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _handler(handler: Object) -> None:
    if "httpGet" in handler:
        default_all(handler["httpGet"], {"path": "/", "scheme": "HTTP"})


def _pod_volume(volume: Object) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for name in _SOURCES_WITH_MODE:
        if name in volume:
            volume[name].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    items = volume.get("downwardAPI", {}).get("items", [])
    for source in volume.get("projected", {}).get("sources", []):
        items = [*items, *source.get("downwardAPI", {}).get("items", [])]
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for item in items:
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
    if "ephemeral" in volume:
        volume["ephemeral"].get("volumeClaimTemplate", {}).get("spec", {}).setdefault("volumeMode", "Filesystem")


def qos_class(spec: Object) -> str:
    """Return ``Guaranteed``, ``Burstable`` or ``BestEffort``; only cpu and memory count."""
    guaranteed, asked = True, False
    for container in containers(spec):
        resources = container.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        for name in ("cpu", "memory"):
            asked = asked or name in limits or name in requests
            equal = name in limits and name in requests and same_quantity(limits[name], requests[name])
            guaranteed = guaranteed and equal
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
