"""The strategic merge patch between two pods: what a profile says beyond what all launches share."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from gpuspawner.strategic_merge import MERGE_KEYS, strategic_merge

__all__ = ["difference"]

_REFERENCE = re.compile(r"\$\(([^)]+)\)")


def difference(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The patch with ``strategic_merge(base, patch) == wanted``, but for the order of lists in which it means nothing.

    Order means something among variables, which may refer to earlier ones, and among init containers.
    """
    patch: dict[str, Any] = {key: None for key in base if key not in wanted}
    for key, value in wanted.items():
        if key not in base:
            patch[key] = deepcopy(value)
        elif value != base[key]:
            patch[key] = _changed(key, base[key], value)
    return patch


def _changed(key: str, base: Any, wanted: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(wanted, Mapping):
        return difference(base, wanted)
    if isinstance(base, list) and isinstance(wanted, list) and key in MERGE_KEYS:
        return _changed_list(key, base, wanted)
    return deepcopy(wanted)


def _changed_list(key: str, base: list[Any], wanted: list[Any]) -> list[Any]:
    name = MERGE_KEYS[key][0]
    have = {item[name]: item for item in base}
    gone = [{name: item[name], "$patch": "delete"} for item in base if item[name] not in {w[name] for w in wanted}]
    changes = []
    for item in wanted:
        old = have.get(item[name])
        if old is None:
            changes.append(deepcopy(item))
        elif old != item:
            changes.append({name: item[name], **difference(old, item)})
    in_full = [{name: item[name], **difference(have.get(item[name], {}), item)} for item in wanted]
    for patch in (changes + gone, in_full + gone):
        merged = strategic_merge({key: base}, {key: patch})[key]
        if _unordered(merged, key) == _unordered(wanted, key):
            return patch
    return [{"$patch": "replace"}, *deepcopy(wanted)]


def _unordered(value: Any, key: str = "") -> Any:
    """The value with its lists sorted by merge key where order means nothing, and without what is deleted."""
    if isinstance(value, Mapping):
        return {name: _unordered(inner, name) for name, inner in value.items() if inner is not None}
    if not isinstance(value, list):
        return value
    items = [_unordered(item) for item in value]
    if key not in MERGE_KEYS or key == "initContainers" or (key == "env" and _refers(value)):
        return items
    return sorted(items, key=lambda item: str(item[MERGE_KEYS[key][0]]))


def _refers(variables: list[Any]) -> bool:
    """Whether a variable's value refers to another one of the list."""
    names = {variable["name"] for variable in variables}
    return any(names & set(_REFERENCE.findall(str(variable.get("value", "")))) for variable in variables)
