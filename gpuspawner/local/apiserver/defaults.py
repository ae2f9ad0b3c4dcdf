"""What the server fills in when an object is created."""

from collections.abc import Callable
from typing import Any

from gpuspawner.local.apiserver.access.validation import default_binding
from gpuspawner.local.apiserver.pod_defaults import default_all, default_pod, qos_class
from gpuspawner.local.apiserver.workload_defaults import NEW_WORKLOADS, WORKLOADS

__all__ = ["apply_defaults", "prepare_new"]

Object = dict[str, Any]


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
    default_all(spec, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def _with(items: list[str], item: str) -> list[str]:
    return items if item in items else [*items, item]


def _storage_class(obj: Object) -> None:
    default_all(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_all(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["type"] != "ExternalName":
        default_all(spec, {"internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]})
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
            default_all(limit.setdefault("default", {}), limit["max"])
        if "default" in limit:
            default_all(limit.setdefault("defaultRequest", {}), limit["default"])


def _event(obj: Object) -> None:
    default_all(obj, {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None})
    default_all(obj, {"reportingComponent": "", "reportingInstance": ""})


def _new_pod(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}


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


_NEW: dict[str, Callable[[Object], None]] = {
    "namespaces": _new_namespace,
    "persistentvolumeclaims": _new_claim,
    "persistentvolumes": _new_volume,
    "pods": _new_pod,
    "resourceclaims.resource.k8s.io": _new_device_claim,
    "resourcequotas": _new_quota,
    "services": _new_service,
    **NEW_WORKLOADS,
}
_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": default_binding,
    "events": _event,
    "limitranges": _limit_range,
    "namespaces": _namespace,
    "nodes": _node,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "pods": default_pod,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "resourceclaims.resource.k8s.io": _device_claim,
    "resourceclaimtemplates.resource.k8s.io": _device_claim_template,
    "rolebindings.rbac.authorization.k8s.io": default_binding,
    "secrets": _secret,
    "services": _service,
    "storageclasses.storage.k8s.io": _storage_class,
    **WORKLOADS,
}
