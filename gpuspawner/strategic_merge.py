"""Kubernetes' strategic merge patch: lists of named things merge by their key, the way ``kubectl patch`` does."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

__all__ = ["MERGE_KEYS", "strategic_merge"]

# Lists with ``x-kubernetes-patch-merge-key`` in the OpenAPI schema of Kubernetes 1.36. The same field may have one key
# in one kind and another elsewhere: ``ports`` merges by containerPort in a container and by port in a Service.
MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "addresses": ("type",),
    "allocatedResourcesStatus": ("name",),
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "hostIPs": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaimStatuses": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
# Lists of plain values with ``x-kubernetes-patch-strategy: merge``: a patch adds to them.
_VALUE_SETS = frozenset({"finalizers", "podCIDRs"})
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``patch`` applied; neither argument is changed.

    Mappings merge key by key and ``None`` deletes a key. Lists in :data:`MERGE_KEYS` merge item by item, with
    ``{"$patch": "delete"}`` removing an item; every other list is replaced. ``{"$patch": "replace"}`` replaces a
    mapping, or as a list item the whole list. A merged list is in the order of ``$setElementOrder``, else of the
    patch, and what only ``base`` has keeps its order around it: a new item comes before the old ones.

    Raises
    ------
    ValueError
        Where an item lacks the merge key, naming the list; and for an unknown ``$patch`` directive.

    Source: https://git.k8s.io/community/contributors/devel/sig-api-machinery/strategic-merge-patch.md and
    k8s.io/apimachinery/pkg/util/strategicpatch/patch.go
    """
    match patch.get("$patch"):
        case None:
            pass
        case "delete":
            return {}
        case "replace":
            return {key: _new(key, value) for key, value in patch.items() if key != "$patch" and value is not None}
        case other:
            raise ValueError(f"$patch: {other!r} is neither delete nor replace")
    keep = patch.get("$retainKeys")
    merged = {key: deepcopy(value) for key, value in base.items() if keep is None or key in keep}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            if name in merged:
                merged[name] = [item for item in merged[name] if item not in value]
        elif key in ("$patch", "$retainKeys") or key.startswith(_ORDER):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            current = merged.get(key)
            merged[key] = strategic_merge(current if isinstance(current, Mapping) else {}, value)
        elif isinstance(value, list):
            merged[key] = _merge_list(key, merged.get(key), value)
        else:
            merged[key] = value
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if name != key and isinstance(merged.get(name), list):
            merged[name] = _in_order(merged[name], order, base.get(name) or [], _merge_key(name, merged[name]))
    return merged


def _merge_list(name: str, base: Any, patch: list[Any]) -> list[Any]:
    current: list[Any] = base if isinstance(base, list) else []
    if name in _VALUE_SETS and all(isinstance(value, str) for value in patch):
        merged = current + [value for value in dict.fromkeys(patch) if value not in current]
        return _in_order(merged, patch, current, None)
    if any(_directive(item) == "replace" for item in patch):
        return [_new("", item) for item in patch if _directive(item) is None]
    if name not in MERGE_KEYS or not all(isinstance(item, Mapping) for item in [*current, *patch]):
        return [_new("", item) for item in patch]
    key = _merge_key(name, [*current, *patch])
    if key is None:
        raise ValueError(f"{name}: every item needs {' or '.join(MERGE_KEYS[name])} to be merged")
    merged = list(current)
    for item in patch:
        at = next((at for at, have in enumerate(merged) if have[key] == item[key]), None)
        if _directive(item) == "delete":
            merged = [have for have in merged if have[key] != item[key]]
        elif at is None:
            merged.append(strategic_merge({}, item))
        else:
            merged[at] = strategic_merge(merged[at], item)
    return _in_order([deepcopy(item) for item in merged], patch, current, key)


def _directive(item: Any) -> Any:
    return item.get("$patch") if isinstance(item, Mapping) else None


def _merge_key(name: str, items: Sequence[Any]) -> str | None:
    """The merge key that every item has."""
    keys = MERGE_KEYS.get(name, ())
    return next((key for key in keys if all(isinstance(i, Mapping) and i.get(key) is not None for i in items)), None)


def _in_order(merged: list[Any], patch: list[Any], base: list[Any], key: str | None) -> list[Any]:
    """What the patch names in its order; each other item before the first of those that followed it in ``base``."""

    wanted, before = _Positions(patch, key), _Positions(base, key)
    named = sorted((item for item in merged if wanted.of(item) is not None), key=lambda item: wanted.of(item) or 0)
    others = [item for item in merged if wanted.of(item) is None]
    ordered = []
    while named and others:
        left, right = before.of(others[0]), before.of(named[0])
        follows = left is not None and right is not None and left < right
        ordered.append((others if follows else named).pop(0))
    return ordered + named + others


class _Positions:
    """Where a list first names an item, by the item's merge key or by the plain value itself."""

    def __init__(self, items: list[Any], key: str | None) -> None:
        self._key = key
        self._first: dict[str, int] = {}
        for at, item in enumerate(items):
            self._first.setdefault(self._identity(item), at)

    def of(self, item: Any) -> int | None:
        return self._first.get(self._identity(item))

    def _identity(self, item: Any) -> str:
        return repr(item.get(self._key) if self._key is not None and isinstance(item, Mapping) else item)


def _new(name: str, value: Any) -> Any:
    """A copy without directives and deletions, for what is new."""
    if isinstance(value, Mapping):
        return strategic_merge({}, value)
    if isinstance(value, list):
        return _merge_list(name, None, value)
    return value
