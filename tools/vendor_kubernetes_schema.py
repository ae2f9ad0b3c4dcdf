"""Write gpuspawner/local/apiserver/kubernetes.json: the OpenAPI definitions of what the embedded engine serves.

They come from the PyPI package kubernetes-validate, without descriptions. Run: python tools/vendor_kubernetes_schema.py
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from gpuspawner.local.apiserver.resources import RESOURCES, Resource

VERSION = "1.36.0"
TARGET = Path(__file__).parent.parent / "gpuspawner" / "local" / "apiserver" / "kubernetes.json"
KEPT = frozenset(
    {"$ref", "additionalProperties", "format", "items", "properties", "required", "type"}
    | {"x-kubernetes-group-version-kind", "x-kubernetes-list-map-keys", "x-kubernetes-list-type"}
    | {"x-kubernetes-map-type", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy"}
)
ALSO = {
    ("", "v1", "Binding"),
    ("", "v1", "DeleteOptions"),
    ("", "v1", "Status"),
    ("authentication.k8s.io", "v1", "TokenRequest"),
    ("autoscaling", "v1", "Scale"),
    ("policy", "v1", "Eviction"),
}


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """Keep what decoding, merging and clients need; a null is the same as an absent field, so no type says it."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in KEPT:
            continue
        if key == "properties":
            value = {name: slim(field) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            value = slim(value)
        elif key == "type" and isinstance(value, list):
            value = next(kind for kind in value if kind != "null")
        elif key == "$ref":
            value = value.replace("#/$defs/", "#/definitions/")
        out[key] = value
    if "oneOf" in schema:
        out |= {"type": "string", "format": "int-or-string" if "IntOrString" in str(schema) else "quantity"}
    return out


def references(schema: Any) -> set[str]:
    """Return the names of the definitions that a schema refers to."""
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"].rpartition("/")[2]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(references, schema.values()))


def custom_definition(resource: Resource) -> tuple[str, dict[str, Any]]:
    """Return name and definition of a kind of another project: its ``spec`` is kept as it comes."""
    metadata = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    properties: dict[str, Any] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    kind = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    definition = {
        "properties": properties | {"spec": {"type": "object"}, "status": {"type": "object"}},
        "type": "object",
        "x-kubernetes-group-version-kind": [kind],
    }
    name = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
    return name, definition


def document() -> str:
    """Return the definitions that the served kinds need, as JSON."""
    source = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{VERSION}-local" / "_definitions.json"
    everything = json.loads(source.read_text(encoding="utf-8"))["$defs"]
    served = [resource for resource in RESOURCES if not resource.custom]
    wanted = {(resource.group, resource.version, resource.kind) for resource in served} | ALSO
    todo = []
    for name, schema in everything.items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if any((kind["group"], kind["version"], kind["kind"]) in wanted for kind in kinds):
            todo.append(name)
    definitions: dict[str, Any] = {}
    while todo:
        name = todo.pop()
        if name in definitions:
            continue
        definitions[name] = slim(everything[name])
        if name.endswith("IntOrString"):
            definitions[name] = {"type": "string", "format": "int-or-string"}
        elif name.endswith("resource.Quantity"):
            definitions[name] = {"type": "string", "format": "quantity"}
        kinds = definitions[name].get("x-kubernetes-group-version-kind", [])
        if len(kinds) > 1:
            definitions[name]["x-kubernetes-group-version-kind"] = [
                kind for kind in kinds if (kind["group"], kind["version"], kind["kind"]) in wanted
            ]
        todo.extend(references(definitions[name]))
    definitions |= dict(custom_definition(resource) for resource in RESOURCES if resource.custom)
    found = {"version": VERSION, "definitions": dict(sorted(definitions.items()))}
    return json.dumps(found, separators=(",", ":"), sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
