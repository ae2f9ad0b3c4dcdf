"""Kubernetes' strategic merge patch: lists of named things merge by their key, the way ``kubectl patch`` does."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["MERGE_KEYS", "strategic_merge"]

# Lists with ``patchStrategy: merge`` and their ``patchMergeKey``, from the OpenAPI schema of Kubernetes 1.36
# (``x-kubernetes-patch-merge-key``). ``ports`` merges by containerPort in a container and by port in a Service.
MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaims": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
# Lists of plain values with ``patchStrategy: merge``: a patch adds to them.
_VALUE_SETS = frozenset({"finalizers"})
# Mappings with ``patchStrategy: retainKeys``: the patch says which keys stay.
_DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")


def strategic_merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``patch`` applied; neither argument is changed.

    Mappings merge key by key and ``None`` deletes a key. Lists in :data:`MERGE_KEYS` merge item by item, with
    ``{"$patch": "delete"}`` removing an item; every other list is replaced. ``{"$patch": "replace"}`` replaces a
    mapping, or as a list item the whole list. Where an item lacks the merge key a ``ValueError`` names the list.

    Source: https://git.k8s.io/community/contributors/devel/sig-api-machinery/strategic-merge-patch.md
    """
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: _clean(value) for key, value in patch.items() if key != "$patch" and value is not None}
    merged = {key: deepcopy(value) for key, value in base.items()}
    if "$retainKeys" in patch:
        keep = set(patch["$retainKeys"])
        merged = {key: value for key, value in merged.items() if key in keep}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        if key.startswith(_DIRECTIVES):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            current = merged.get(key)
            merged[key] = strategic_merge(current if isinstance(current, Mapping) else {}, value)
        elif isinstance(value, list):
            merged[key] = _merge_list(key, merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _merge_list(name: str, base: Any, patch: list[Any]) -> list[Any]:
    current: list[Any] = base if isinstance(base, list) else []
    if name in _VALUE_SETS:
        return current + [value for value in patch if value not in current]
    if any(isinstance(item, Mapping) and item.get("$patch") == "replace" for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, Mapping) and "$patch" in item)]
    keys = MERGE_KEYS.get(name)
    if keys is None or not all(isinstance(item, Mapping) for item in [*current, *patch]):
        return [_clean(item) for item in patch]
    key = next((key for key in keys if all(key in item for item in [*current, *patch])), None)
    if key is None:
        raise ValueError(f"{name}: every item needs {' or '.join(keys)} to be merged")
    merged = [deepcopy(item) for item in current]
    added = []
    for item in patch:
        at = next((i for i, have in enumerate(merged) if have[key] == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            added.append(_clean(item))
        else:
            merged[at] = strategic_merge(merged[at], item)
    return merged + added


def _clean(value: Any) -> Any:
    """A copy without directives and deletions, for what is new."""
    if isinstance(value, Mapping):
        return strategic_merge({}, value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
