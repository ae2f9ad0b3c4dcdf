"""Two strategic merge patches as one that does what both do, one after the other. Pure."""

from collections.abc import Mapping
from typing import Any

from gpuspawner.strategic_merge import MERGE_KEYS

__all__ = ["join_patches"]

_DIRECTIVE = "$patch"


def join_patches(first: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """One patch for two, of which ``first`` only adds: what ``then`` deletes or replaces is deleted or replaced in the
    patched object, too.

    Merging ``then`` into ``first`` would lose its ``None`` and ``$patch``, which are about the patched object, too.
    """
    if _DIRECTIVE in then:
        return dict(then)
    joined = dict(first)
    for key, value in then.items():
        old = joined.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            joined[key] = join_patches(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            joined[key] = _join_lists(key, old, value)
        else:
            joined[key] = value
    return joined


def _join_lists(name: str, first: list[Any], then: list[Any]) -> list[Any]:
    items = [*first, *then]
    keys = MERGE_KEYS.get(name, ())
    key = next((key for key in keys if all(isinstance(item, Mapping) and key in item for item in items)), None)
    if key is None:
        return then
    found = {item[key]: item for item in first}
    for item in then:
        found[item[key]] = join_patches(found.get(item[key], {}), item)
    return list(found.values())
