"""What the server fills in when an object is created."""

from collections.abc import Callable
from typing import Any

from gpuspawner.local.apiserver.quantities import same_quantity
from gpuspawner.local.apiserver.rbac_validation import default_binding

__all__ = ["apply_defaults", "containers", "prepare_new", "qos_class"]

Object = dict[str, Any]


def containers(spec: Object) -> list[Object]:
    """Return the init containers and the containers of a pod's spec."""
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def apply_defaults(key: str, obj: Object) -> None:
    """Fill in, in place, what a kube-apiserver 1.36 fills in at every write of the resource ``key``."""
    default = _DEFAULTS.get(key)
    if default:
        default(obj)


def prepare_new(key: str, obj: Object) -> None:
    """Set, in place, what only a new object gets: its first status and its finalizers."""
    prepare = _NEW.get(key)
    if prepare:
        prepare(obj)


def _default_all(into: Object, values: Object) -> None:
    for key, value in values.items():
        into.setdefault(key, value)


def _namespace(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _new_namespace(obj: Object) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _node(obj: Object) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


def _claim(obj: Object) -> None:
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _new_claim(obj: Object) -> None:
    obj["metadata"]["finalizers"] = _with(obj["metadata"].get("finalizers", []), "kubernetes.io/pvc-protection")
    obj["status"] = {"phase": "Pending"}


def _new_volume(obj: Object) -> None:
    obj["metadata"]["finalizers"] = _with(obj["metadata"].get("finalizers", []), "kubernetes.io/pv-protection")
    obj["status"] = {"phase": "Available"}


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def _with(items: list[str], item: str) -> list[str]:
    return items if item in items else [*items, item]


def _storage_class(obj: Object) -> None:
    _default_all(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["type"] != "ExternalName":
        _default_all(
            spec, {"internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}
        )
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _new_service(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def _new_quota(obj: Object) -> None:
    obj["status"] = {}


def _priority_class(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _limit_range(obj: Object) -> None:
    for limit in obj.get("spec", {}).get("limits", []):
        if limit.get("type") == "Container" and "max" in limit:
            _default_all(limit.setdefault("default", {}), limit["max"])
        if "default" in limit:
            _default_all(limit.setdefault("defaultRequest", {}), limit["default"])


def _event(obj: Object) -> None:
    _default_all(obj, {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None})
    _default_all(obj, {"reportingComponent": "", "reportingInstance": ""})


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst"})
    _default_all(spec, {"securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": True})
    for container in containers(spec):
        _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes", []):
        _pod_volume(volume)


def _new_pod(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}


def _container(container: Object, host_network: bool) -> None:
    _default_all(container, {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"})
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    resources = container.setdefault("resources", {})
    if "limits" in resources:
        _default_all(resources.setdefault("requests", {}), resources["limits"])
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
    _default_all(probe, {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    _handler(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _handler(handler: Object) -> None:
    if "httpGet" in handler:
        _default_all(handler["httpGet"], {"path": "/", "scheme": "HTTP"})


_SOURCES_WITH_MODE = ("secret", "configMap", "projected", "downwardAPI")


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


def _device_requests(spec: Object) -> None:
    for request in spec.get("devices", {}).get("requests", []):
        for asked in (*request.get("firstAvailable", []), *([request["exactly"]] if "exactly" in request else [])):
            asked.setdefault("allocationMode", "ExactCount")
            if asked["allocationMode"] == "ExactCount":
                asked.setdefault("count", 1)


def _device_claim(obj: Object) -> None:
    _device_requests(obj.setdefault("spec", {}))


def _device_claim_template(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("metadata", {})
    _device_requests(spec.setdefault("spec", {}))


def _new_device_claim(obj: Object) -> None:
    obj["status"] = {}


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


_NEW: dict[str, Callable[[Object], None]] = {
    "namespaces": _new_namespace,
    "persistentvolumeclaims": _new_claim,
    "persistentvolumes": _new_volume,
    "pods": _new_pod,
    "resourceclaims.resource.k8s.io": _new_device_claim,
    "resourcequotas": _new_quota,
    "services": _new_service,
}
_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": default_binding,
    "events": _event,
    "limitranges": _limit_range,
    "namespaces": _namespace,
    "nodes": _node,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "pods": _pod,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "resourceclaims.resource.k8s.io": _device_claim,
    "resourceclaimtemplates.resource.k8s.io": _device_claim_template,
    "rolebindings.rbac.authorization.k8s.io": default_binding,
    "secrets": _secret,
    "services": _service,
    "storageclasses.storage.k8s.io": _storage_class,
}
