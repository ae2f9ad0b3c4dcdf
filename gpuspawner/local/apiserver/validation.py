"""What objects may say beyond their schema, and what of it may change."""

import json
from typing import Any

from gpuspawner.local.apiserver.access.validation import RBAC, validate_rbac, validate_rbac_update
from gpuspawner.local.apiserver.device_validation import FIXED_SPECS, validate_devices
from gpuspawner.local.apiserver.metadata import validate_metadata, validate_metadata_update
from gpuspawner.local.apiserver.pod_validation import difference, validate_pod, validate_pod_update
from gpuspawner.local.apiserver.quantities import number
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.status import (
    Cause,
    StatusError,
    forbidden_field,
    invalid_value,
    required_value,
    unsupported_value,
)
from gpuspawner.local.apiserver.workload_validation import validate_workload, validate_workload_update

__all__ = ["validate", "validate_update"]

Object = dict[str, Any]
_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_CLAIM_FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_IMMUTABLE = "field is immutable when `immutable` is set"


def validate(resource: Resource, obj: Object) -> None:
    """Check a new object; StatusError 422 with every cause."""
    causes = validate_metadata(obj["metadata"], resource.name_rule)
    if resource.key == "pods":
        causes += validate_pod(obj)
    elif resource.key == "persistentvolumeclaims":
        causes += _claim(obj["spec"])
    elif resource.key == "resourcequotas":
        causes += _quota(obj.get("spec", {}))
    elif resource.key == "services":
        causes += _service(obj["spec"])
    elif resource.key == "priorityclasses.scheduling.k8s.io":
        causes += _priority_class(obj)
    elif resource.group == "resource.k8s.io":
        causes += validate_devices(resource.plural, obj.get("spec", {}))
    elif resource.group == RBAC:
        causes += validate_rbac(resource.kind, obj)
    else:
        causes += validate_workload(resource.key, obj)
    _raise(resource, obj, causes)


def validate_update(resource: Resource, new: Object, old: Object) -> None:
    """Check a changed object; StatusError 422, or 403 where a kube-apiserver answers so."""
    causes = validate_metadata(new["metadata"], resource.name_rule)
    causes += validate_metadata_update(new["metadata"], old["metadata"])
    if resource.key == "pods":
        causes += validate_pod_update(new, old)
        if not causes:
            causes += validate_pod(new)
    elif resource.key == "persistentvolumeclaims":
        causes += _claim_update(new, old)
    elif resource.key == "services":
        causes += _service(new["spec"])
        causes += _service_update(new["spec"], old["spec"])
    elif resource.key == "resourcequotas":
        causes += _quota(new.get("spec", {}))
    elif resource.key in ("configmaps", "secrets") and old.get("immutable"):
        causes += [
            forbidden_field(name, _IMMUTABLE)
            for name in ("data", "stringData", "binaryData", "immutable")
            if new.get(name) != old.get(name)
        ]
    elif resource.key == "priorityclasses.scheduling.k8s.io":
        causes += [
            forbidden_field(name, "may not be changed in an update.")
            for name in ("value", "preemptionPolicy")
            if new.get(name) != old.get(name)
        ]
    elif resource.group == "resource.k8s.io":
        causes += validate_devices(resource.plural, new.get("spec", {}))
        if resource.plural in FIXED_SPECS and new.get("spec") != old.get("spec"):
            causes.append(forbidden_field("spec", "field is immutable"))
    elif resource.group == RBAC:
        causes += validate_rbac(resource.kind, new) + validate_rbac_update(new, old)
    else:
        causes += validate_workload_update(resource.key, new, old)
    if resource.key == "secrets" and new.get("type") != old.get("type"):
        causes.append(invalid_value("type", str(new.get("type")), "field is immutable"))
    _raise(resource, new, causes)


def _raise(resource: Resource, obj: Object, causes: list[Cause]) -> None:
    if causes:
        raise StatusError.invalid(resource.group_kind, obj["metadata"].get("name", ""), causes)


def _storage(spec: Object) -> str | None:
    request = spec.get("resources", {}).get("requests", {}).get("storage")
    return None if request is None else str(request)


def _claim(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    modes = spec.get("accessModes", [])
    if not modes:
        causes.append(required_value("spec.accessModes", "at least 1 access mode is required"))
    causes += [unsupported_value("spec.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    storage = _storage(spec)
    if storage is None:
        causes.append(required_value("spec.resources[storage]"))
    elif number(storage) <= 0:
        causes.append(invalid_value("spec.resources[storage]", storage, "must be greater than zero"))
    return causes


def _claim_update(new: Object, old: Object) -> list[Cause]:
    before, after = old["spec"], new["spec"]
    if before == after:
        return []
    bound = old.get("status", {}).get("phase") == "Bound"
    fixed = [{key: value for key, value in spec.items() if key != "resources"} for spec in (before, after)]
    if "volumeName" not in before and "volumeName" in after:
        del fixed[1]["volumeName"]  # a client binds the claim
        bound = True
    if fixed[0] != fixed[1] or not bound:
        return [forbidden_field("spec", f"{_CLAIM_FIXED}\n{difference(before, after)}")]
    had, asked = _storage(before) or "0", _storage(after) or "0"
    if number(asked) < number(had):
        where = "spec.resources.requests.storage"
        return [forbidden_field(where, "field can not be less than status.capacity")]
    return []


def _quota(spec: Object) -> list[Cause]:
    return [
        invalid_value(f"spec.hard[{name}]", value, "must be greater than or equal to 0")
        for name, value in spec.get("hard", {}).items()
        if number(value) < 0
    ]


def _service(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec["type"] not in kinds:
        causes.append(unsupported_value("spec.type", spec["type"], kinds))
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        causes.append(required_value("spec.ports"))
    for index, port in enumerate(spec.get("ports", [])):
        if not 1 <= (port.get("port") or 0) <= 65535:
            message = f"Invalid value: {port.get('port', 0)}: must be between 1 and 65535, inclusive"
            causes.append({"reason": "FieldValueInvalid", "message": message, "field": f"spec.ports[{index}].port"})
    return causes


def _service_update(after: Object, before: Object) -> list[Cause]:
    had, asked = before.get("clusterIP", ""), after.get("clusterIP", "")
    if had and asked != had and after["type"] != "ExternalName":
        shown = json.dumps([asked] if asked else [])
        why = f"Invalid value: {shown}: may not change once set"
        return [{"reason": "FieldValueInvalid", "message": why, "field": "spec.clusterIPs[0]"}]
    return []


def _priority_class(obj: Object) -> list[Cause]:
    if not obj["metadata"].get("name", "").startswith("system-") and obj.get("value", 0) > 1_000_000_000:
        why = "maximum allowed value of a user defined priority is 1000000000"
        return [forbidden_field("value", why)]
    return []
