"""Request bodies against the OpenAPI definitions of Kubernetes 1.36: types, unknown fields, Go's words for both."""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from gpuspawner.local.apiserver.quantities import canonical

__all__ = ["DecodeError", "Decoded", "decode", "definition_name", "definitions", "resolve"]

Schema = dict[str, Any]
_REF = "#/definitions/"
_QUANTITY = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)", re.ASCII)
_QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class DecodeError(ValueError):
    """A value of the wrong type; the message is the Go decoder's."""


@dataclass(slots=True)
class Decoded:
    """What a body says, in the fields that the schema knows."""

    obj: dict[str, Any]
    unknown: list[str] = field(default_factory=list)
    """Paths of the fields that were dropped."""


@cache
def definitions() -> dict[str, Schema]:
    """Return the OpenAPI definitions by name, as tools/vendor_kubernetes_schema.py wrote them."""
    text = (files("gpuspawner.local.apiserver") / "kubernetes.json").read_text(encoding="utf-8")
    found: dict[str, Schema] = json.loads(text)["definitions"]
    return found


@cache
def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of the definition of a kind; KeyError if it is not vendored."""
    for name, schema in definitions().items():
        for known in schema.get("x-kubernetes-group-version-kind", ()):
            if (known["group"], known["version"], known["kind"]) == (group, version, kind):
                return name
    raise KeyError(f"{group}/{version} {kind}")


def resolve(schema: Schema) -> Schema:
    """Follow a ``$ref``."""
    reference = schema.get("$ref")
    return definitions()[reference.removeprefix(_REF)] if reference else schema


def decode(body: Any, definition: str) -> Decoded:
    """Check a JSON value against a definition and drop nulls and unknown fields.

    Raises DecodeError for the first value of a wrong type.
    """
    decoded = Decoded({})
    if not isinstance(body, dict):
        raise DecodeError(f"json: cannot unmarshal {_go_value(body)} into Go value of type {_go_ref(definition)}")
    decoded.obj = _Walk(decoded.unknown).fields(body, definition, "", "")
    return decoded


def _go_ref(definition: str) -> str:
    version, _, name = definition.rpartition(".")
    return f"{version.rpartition('.')[2]}.{name}"


def _go_value(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _go_type(schema: Schema) -> str:
    if "$ref" in schema:
        return _go_ref(schema["$ref"])
    kind = schema.get("type")
    if kind == "array":
        return "[]" + _go_type(schema["items"])
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        values = schema["additionalProperties"]
        if values.get("$ref", "").endswith(".Quantity"):
            return "v1.ResourceList"
        return "map[string]" + ("[]uint8" if values.get("format") == "byte" else _go_type(values))
    if kind == "integer":
        return str(schema.get("format", "int64"))
    return {"boolean": "bool", "number": "float64", "string": "string"}.get(str(kind), "map[string]interface {}")


class _Walk:
    """One pass over a body. ``where`` is a path for people, ``go`` the path as Go's decoder writes it."""

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown

    def fields(self, value: dict[str, Any], definition: str, where: str, go: str) -> dict[str, Any]:
        properties = definitions()[definition].get("properties")
        if properties is None:
            return value
        out = {}
        for key, item in value.items():
            path = f"{where}.{key}" if where else key
            if key not in properties:
                self.unknown.append(path)
            elif item is not None:
                go_path = f"{go}.{key}" if go else key
                out[key] = self.value(item, properties[key], path, go_path, _go_ref(definition).partition(".")[2])
        return out

    def value(self, value: Any, schema: Schema, where: str, go: str, struct: str) -> Any:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_REF)
            target = definitions()[name]
            if target["type"] != "object":
                return self.scalar(value, target, go, struct)
            if not isinstance(value, dict):
                raise self._mismatch(value, schema, go, struct)
            return self.fields(value, name, where, go)
        kind = schema.get("type")
        if kind == "array":
            if not isinstance(value, list):
                raise self._mismatch(value, schema, go, struct)
            items = schema["items"]
            return [self.value(item, items, f"{where}[{i}]", go, struct) for i, item in enumerate(value)]
        if kind == "object":
            return self._map(value, schema, where, go, struct)
        return self.scalar(value, schema, go, struct)

    def _map(self, value: Any, schema: Schema, where: str, go: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise self._mismatch(value, schema, go, struct)
        values = schema.get("additionalProperties")
        if not isinstance(values, dict):
            return value
        kept = {key: item for key, item in value.items() if item is not None}
        return {key: self.value(item, values, f"{where}.{key}", go, struct) for key, item in kept.items()}

    def scalar(self, value: Any, schema: Schema, go: str, struct: str) -> Any:
        kind, form = schema.get("type"), schema.get("format")
        if form == "quantity":
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise DecodeError(_QUANTITY_RULE)
            text = str(value)
            if not _QUANTITY.fullmatch(text):
                raise DecodeError(_QUANTITY_RULE)
            return canonical(text)
        if form == "int-or-string" and isinstance(value, int) and not isinstance(value, bool):
            return value
        fits = {
            "boolean": isinstance(value, bool),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "string": isinstance(value, str),
        }
        if not fits.get(str(kind), True):
            raise self._mismatch(value, schema, go, struct)
        if kind == "integer" and abs(value) >= 2 ** (31 if form == "int32" else 63):
            raise self._mismatch(value, schema, go, struct)
        if form == "byte":
            _check_base64(value)
        elif form == "date-time":
            _check_time(value)
        return value

    def _mismatch(self, value: Any, schema: Schema, go: str, struct: str) -> DecodeError:
        shown = _go_value(value)
        if shown == "number" and schema.get("type") == "integer":
            shown = f"number {value}"
        return DecodeError(
            f"json: cannot unmarshal {shown} into Go struct field {struct}.{go} of type {_go_type(schema)}"
        )


def _check_base64(value: str) -> None:
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        at = next((i for i, c in enumerate(value) if not re.match(r"[A-Za-z0-9+/\r\n]", c, re.ASCII)), len(value))
        raise DecodeError(f"illegal base64 data at input byte {at}") from None


def _check_time(value: str) -> None:
    try:
        if "T" not in value or datetime.fromisoformat(value).tzinfo is None:
            raise ValueError
    except ValueError:
        raise DecodeError(
            f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
        ) from None
