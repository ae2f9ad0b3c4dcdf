"""The ``scale`` subresource: how many replicas a workload has and shall have."""

from typing import Any

from gpuspawner.local.apiserver.operations import Operations, WriteOptions
from gpuspawner.local.apiserver.patch import apply_patch
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.schema import DecodeError, decode, definition_name
from gpuspawner.local.apiserver.selectors import selector_text
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import clone

__all__ = ["patch_scale", "read_scale", "replace_scale"]

Object = dict[str, Any]
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def read_scale(operations: Operations, resource: Resource, namespace: str, name: str) -> Object:
    """Return the Scale of a workload; StatusError 404."""
    obj = operations.get(resource, namespace, name)
    selector = selector_text(obj["spec"].get("selector", {}))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]},
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {"replicas": obj.get("status", {}).get("replicas", 0), "selector": selector},
    }


def replace_scale(
    operations: Operations, resource: Resource, namespace: str, name: str, body: Any, options: WriteOptions
) -> Object:
    """Set the replicas that a Scale says; StatusError 400, 404, 409 or 422."""
    try:
        scale = decode(body, definition_name("autoscaling", "v1", "Scale")).obj
    except DecodeError as error:
        raise StatusError.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {error}') from None
    new = clone(operations.get(resource, namespace, name))
    version = scale.get("metadata", {}).get("resourceVersion")
    if version:
        new["metadata"]["resourceVersion"] = version
    else:
        del new["metadata"]["resourceVersion"]
    new["spec"]["replicas"] = scale.get("spec", {}).get("replicas", 0)
    operations.replace(resource, namespace, name, new, options)
    return read_scale(operations, resource, namespace, name)


def patch_scale(
    operations: Operations,
    resource: Resource,
    namespace: str,
    name: str,
    content_type: str,
    body: Any,
    options: WriteOptions,
) -> Object:
    """Patch a Scale; StatusError as of `replace_scale`."""
    patched = apply_patch(content_type, read_scale(operations, resource, namespace, name), body)
    return replace_scale(operations, resource, namespace, name, patched, options)
