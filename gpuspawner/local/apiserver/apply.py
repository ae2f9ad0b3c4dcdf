"""Server-side apply: who owns which fields, conflicts, and the merge."""

import json
from typing import Any

from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.schema import Schema, definition_name, definitions, resolve
from gpuspawner.local.apiserver.status import StatusError
from gpuspawner.local.apiserver.store import clone

__all__ = ["apply_configuration", "drop_overwritten"]

Object = dict[str, Any]
Path = tuple[str, ...]
"""Steps as ``fieldsV1`` writes them: ``f:name``, ``k:{...}`` for list items by key, ``v:...`` for set members."""
_UNOWNED = frozenset({("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace")})


def apply_configuration(
    resource: Resource, old: Object | None, config: Object, manager: str, force: bool, part: str, when: str
) -> Object:
    """Return the object after ``manager`` applied ``config`` to it, with ``metadata.managedFields``.

    Fields that the manager applied before and leaves out now, and that nobody else applied, are removed.
    StatusError 409 names the fields that another manager set otherwise, unless ``force``.
    """
    schema = definitions()[definition_name(resource.group, resource.version, resource.kind)]
    config["metadata"].pop("managedFields", None)
    config["metadata"].pop("resourceVersion", None)
    owned = _leaves(config, schema) - _UNOWNED
    live = clone(old) if old is not None else {}
    managers = _managers(live)
    others = {key: paths for key, paths in managers.items() if key != (manager, part)}
    if old is not None:
        taken = _conflicts(config, live, owned, others)
        if taken and not force:
            raise _conflict(taken)
        for _, path in taken:
            for paths in others.values():
                paths.discard(path)
        claimed = set[Path]().union(*others.values()) if others else set[Path]()
        for path in sorted(managers.get((manager, part), set()) - owned - claimed, key=len, reverse=True):
            _remove(live, path)
    merged: Object = _merge(live, config, schema)
    everyone = others | {(manager, part): owned}
    merged["metadata"]["managedFields"] = [
        _entry(resource, name, of, paths, when) for (name, of), paths in everyone.items() if paths
    ]
    return merged


def drop_overwritten(new: Object, old: Object, resource: Resource) -> None:
    """Take from the appliers, in place, the fields that another kind of write changed."""
    managed = old["metadata"].get("managedFields")
    if not managed:
        new["metadata"].pop("managedFields", None)
        return
    kept = []
    for entry in managed:
        paths = {path for path in _from_fields(entry["fieldsV1"]) if _get(new, path) == _get(old, path)}
        if paths:
            kept.append(entry | {"fieldsV1": _to_fields(paths)})
    new["metadata"]["managedFields"] = kept


def _conflict(taken: list[tuple[str, Path]]) -> StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{name}"', "field": _dotted(path)}
        for name, path in taken
    ]
    said = [f"{cause['message']}: {cause['field']}" for cause in causes]
    count = len(causes)
    if count == 1:
        message = f"Apply failed with 1 conflict: {said[0]}"
    else:
        names = {name for name, _ in taken}
        lines = "".join(
            f'conflicts with "{name}":\n' + "".join(f"- {_dotted(p)}\n" for n, p in taken if n == name)
            for name in sorted(names)
        )
        message = f"Apply failed with {count} conflicts: {lines.rstrip()}"
    return StatusError(409, "Conflict", message, {"causes": causes})


def _dotted(path: Path) -> str:
    out = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            out += f".{rest}"
        elif kind == "k":
            out += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            out += f"[={rest}]"
    return out


def _conflicts(
    config: Object, live: Object, owned: set[Path], others: dict[tuple[str, str], set[Path]]
) -> list[tuple[str, Path]]:
    return [
        (name, path)
        for (name, _), paths in others.items()
        for path in sorted(paths & owned)
        if _get(config, path) != _get(live, path)
    ]


def _managers(obj: Object) -> dict[tuple[str, str], set[Path]]:
    return {
        (entry["manager"], entry.get("subresource", "")): _from_fields(entry["fieldsV1"])
        for entry in obj.get("metadata", {}).get("managedFields", [])
    }


def _entry(resource: Resource, manager: str, part: str, paths: set[Path], when: str) -> Object:
    entry = {"manager": manager, "operation": "Apply", "apiVersion": resource.api_version, "time": when}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": _to_fields(paths)}  # type: ignore[dict-item]
    return entry | ({"subresource": part} if part else {})


def _to_fields(paths: set[Path]) -> Object:
    root: Object = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    return root


def _from_fields(fields: Object) -> set[Path]:
    paths: set[Path] = set()

    def walk(node: Object, path: Path) -> None:
        if not node:
            paths.add(path)
        for step, below in node.items():
            walk(below, (*path, step))

    walk(fields, ())
    return paths


def _list_keys(schema: Schema) -> list[str] | None:
    return schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else None


def _item_key(item: Object, keys: list[str]) -> str:
    chosen = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + json.dumps(chosen, separators=(",", ":"), sort_keys=True)


def _atomic(schema: Schema) -> bool:
    target = resolve(schema)
    if "atomic" in (schema.get("x-kubernetes-map-type"), target.get("x-kubernetes-map-type")):
        return True
    return "properties" not in target and not isinstance(target.get("additionalProperties"), dict)


def _below(schema: Schema, key: str) -> Schema:
    target = resolve(schema)
    found = target.get("properties", {}).get(key, target.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _leaves(value: Any, schema: Schema, path: Path = ()) -> set[Path]:
    if isinstance(value, dict) and value and not _atomic(schema):
        return set[Path]().union(
            *(_leaves(item, _below(schema, key), (*path, f"f:{key}")) for key, item in value.items())
        )
    if isinstance(value, list) and value:
        keys = _list_keys(schema)
        if keys:
            steps = ((_item_key(item, keys), item) for item in value)
            return set[Path]().union(*(_leaves(item, schema["items"], (*path, step)) for step, item in steps))
        if schema.get("x-kubernetes-list-type") == "set":
            return {(*path, f"v:{json.dumps(item)}") for item in value}
    return {path}


def _step(value: Any, step: str) -> Any:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return value.get(rest) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    if kind == "v":
        return rest if json.loads(rest) in value else None
    keys = json.loads(rest)
    return next((item for item in value if _item_key(item, list(keys)) == f"k:{rest}"), None)


def _get(value: Any, path: Path) -> Any:
    for step in path:
        value = _step(value, step)
    return value


def _remove(obj: Object, path: Path) -> None:
    """Remove a leaf, then every container that it leaves empty; a list item goes when only its keys are left."""
    parent = _get(obj, path[:-1])
    kind, _, rest = path[-1].partition(":")
    if kind == "f" and isinstance(parent, dict):
        parent.pop(rest, None)
    elif isinstance(parent, list):
        gone = json.loads(rest) if kind == "v" else _step(parent, path[-1])
        if gone in parent:
            parent.remove(gone)
    if len(path) < 2 or parent is None:
        return
    is_item = path[-2].startswith("k:")
    if not parent or (is_item and set(parent) <= set(json.loads(path[-2][2:]))):
        _remove(obj, path[:-1])


def _merge(live: Any, config: Any, schema: Schema) -> Any:
    if isinstance(config, dict) and isinstance(live, dict) and not _atomic(schema):
        return live | {key: _merge(live.get(key), item, _below(schema, key)) for key, item in config.items()}
    if isinstance(config, list) and isinstance(live, list):
        keys = _list_keys(schema)
        if keys:
            merged = {_item_key(item, keys): item for item in live}
            for item in config:
                key = _item_key(item, keys)
                merged[key] = _merge(merged.get(key), item, schema["items"])
            return list(merged.values())
        if schema.get("x-kubernetes-list-type") == "set":
            return live + [item for item in config if item not in live]
    return clone(config)
