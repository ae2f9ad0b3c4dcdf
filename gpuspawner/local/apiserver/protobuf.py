"""Protocol buffers as far as kubectl insists on them: request bodies of its ``create`` commands, and OpenAPI version 2.

Field numbers: ``generated.proto`` of https://github.com/kubernetes/api and ``OpenAPIv2.proto`` of
https://github.com/google/gnostic.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from gpuspawner.local.apiserver.status import StatusError

__all__ = ["PROTOBUF", "decode_body", "encode_openapi"]

Object = dict[str, Any]
PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# Message -> field number -> (JSON name, kind). A kind is a scalar, a message, ``[]kind`` or ``{}kind`` (a map).
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Unknown": {1: ("typeMeta", "TypeMeta"), 2: ("raw", "raw")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        11: ("labels", "{}string"),
        12: ("annotations", "{}string"),
        13: ("ownerReferences", "[]OwnerReference"),
        14: ("finalizers", "[]string"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "Quantity": {1: ("string", "string")},
    "ObjectReference": {3: ("name", "string"), 2: ("namespace", "string"), 1: ("kind", "string")},
    "LocalObjectReference": {1: ("name", "string")},
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{}string"),
        3: ("binaryData", "{}bytes"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{}bytes"),
        3: ("type", "string"),
        4: ("stringData", "{}string"),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        1: ("metadata", "ObjectMeta"),
        2: ("secrets", "[]ObjectReference"),
        3: ("imagePullSecrets", "[]LocalObjectReference"),
        4: ("automountServiceAccountToken", "bool"),
    },
    "ResourceQuota": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ResourceQuotaSpec")},
    "ResourceQuotaSpec": {1: ("hard", "{}Quantity"), 2: ("scopes", "[]string")},
    "PriorityClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("value", "int"),
        3: ("globalDefault", "bool"),
        4: ("description", "string"),
        5: ("preemptionPolicy", "string"),
    },
    "Binding": {1: ("metadata", "ObjectMeta"), 2: ("target", "ObjectReference")},
    "Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[]string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectAccessReviewSpec")},
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        1: ("namespace", "string"),
        2: ("verb", "string"),
        3: ("group", "string"),
        4: ("version", "string"),
        5: ("resource", "string"),
        6: ("subresource", "string"),
        7: ("name", "string"),
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta")},
    "SelfSubjectRulesReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "SelfSubjectRulesReviewSpec")},
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "string")},
    "TokenRequest": {1: ("metadata", "ObjectMeta"), 2: ("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {
        1: ("audiences", "[]string"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "int"),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    "Role": {1: ("metadata", "ObjectMeta"), 2: ("rules", "[]PolicyRule")},
    "ClusterRole": {
        1: ("metadata", "ObjectMeta"),
        2: ("rules", "[]PolicyRule"),
        3: ("aggregationRule", "AggregationRule"),
    },
    "PolicyRule": {
        1: ("verbs", "[]string"),
        2: ("apiGroups", "[]string"),
        3: ("resources", "[]string"),
        4: ("resourceNames", "[]string"),
        5: ("nonResourceURLs", "[]string"),
    },
    "AggregationRule": {1: ("clusterRoleSelectors", "[]LabelSelector")},
    "LabelSelector": {1: ("matchLabels", "{}string"), 2: ("matchExpressions", "[]LabelSelectorRequirement")},
    "LabelSelectorRequirement": {1: ("key", "string"), 2: ("operator", "string"), 3: ("values", "[]string")},
    "RoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "[]Subject"), 3: ("roleRef", "RoleRef")},
    "ClusterRoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "[]Subject"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", "string"), 2: ("apiGroup", "string"), 3: ("name", "string"), 4: ("namespace", "string")},
    "RoleRef": {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")},
}
_KINDS = frozenset(
    {"Namespace", "ConfigMap", "Secret", "ServiceAccount", "ResourceQuota", "PriorityClass", "Binding", "Eviction"}
    | {"ClusterRole", "ClusterRoleBinding", "DeleteOptions", "Role", "RoleBinding", "SelfSubjectAccessReview"}
    | {"SelfSubjectReview", "SelfSubjectRulesReview", "TokenRequest"}
)


def decode_body(data: bytes) -> Object:
    """Return the JSON form of a Kubernetes object in protocol buffers.

    StatusError 415 for a kind that kubectl does not send so, 400 for a body that is cut short.
    """
    if not data.startswith(_MAGIC):
        raise StatusError.bad_request("the body is not a Kubernetes object in protocol buffers")
    try:
        envelope = _message(data[len(_MAGIC) :], "Unknown")
        about = envelope.get("typeMeta", {})
        if about.get("kind") not in _KINDS:
            message = f"the server does not read a {about.get('kind')} in {PROTOBUF}; send application/json"
            raise StatusError.unsupported_media_type(message)
        kind: str = about["kind"]
        return {**about, **_message(envelope.get("raw", b""), kind)}
    except (IndexError, UnicodeDecodeError) as error:
        raise StatusError.bad_request(f"the body cannot be read as {PROTOBUF}: {error}") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire)
        if size is None:
            if wire != 2:
                raise IndexError(f"wire type {wire}")
            size, at = _varint(data, at)
        if at + size > len(data):
            raise IndexError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _message(data: bytes, name: str) -> Object:
    known, out = _MESSAGES[name], Object()
    for number, value in _fields(data):
        if number not in known:
            continue
        field, kind = known[number]
        if kind.startswith("[]"):
            out.setdefault(field, []).append(_scalar(value, kind[2:]))
        elif kind.startswith("{}") and isinstance(value, bytes):
            pair = dict(_fields(value))
            key, item = pair.get(1, b""), pair.get(2, b"")
            out.setdefault(field, {})[_scalar(key, "string")] = _scalar(item, kind[2:])
        else:
            found = _scalar(value, kind)
            if found != "":
                out[field] = found
    return out


def _scalar(value: int | bytes, kind: str) -> Any:
    if isinstance(value, int):
        signed = value - (1 << 64) if value >= 1 << 63 else value
        return bool(value) if kind == "bool" else signed
    if kind == "string":
        return value.decode()
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "raw":
        return value
    if kind == "Quantity":
        return _message(value, kind).get("string", "0")
    return _message(value, kind)


def _put_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _put(number: int, data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return _put_varint(number << 3 | 2) + _put_varint(len(raw)) + raw


def _named(number: int, name: str, value: bytes) -> bytes:
    return _put(number, _put(1, name) + _put(2, value))


def _extensions(number: int, value: Object) -> bytes:
    return b"".join(
        _named(number, key, _put(2, json.dumps(item))) for key, item in value.items() if key.startswith("x-")
    )


def _schema(schema: Object) -> bytes:
    out = _put(1, schema["$ref"]) if "$ref" in schema else b""
    out += _put(2, schema["format"]) if "format" in schema else b""
    out += b"".join(_put(19, name) for name in schema.get("required", ()))
    if isinstance(schema.get("additionalProperties"), dict):
        out += _put(21, _put(1, _schema(schema["additionalProperties"])))
    out += _put(22, _put(1, schema["type"])) if "type" in schema else b""
    out += _put(23, _put(1, _schema(schema["items"]))) if "items" in schema else b""
    if "properties" in schema:
        out += _put(25, b"".join(_named(1, name, _schema(of)) for name, of in schema["properties"].items()))
    return out + _extensions(31, schema)


def _parameter(parameter: Object) -> bytes:
    query = _put(2, parameter["in"]) + _put(4, parameter["name"]) + _put(6, parameter["type"])
    return _put(8, _put(1, _put(2, _put(3, query))))


def _path(item: Object) -> bytes:
    numbers = {"put": 3, "post": 4, "patch": 8}
    out = b""
    for method, operation in item.items():
        parameters = b"".join(map(_parameter, operation["parameters"]))
        out += _put(numbers[method], parameters + _extensions(13, operation))
    return out


def encode_openapi(document: Object) -> bytes:
    """Encode an OpenAPI version 2 document as ``openapi.v2.Document``."""
    info = document["info"]
    out = _put(1, document["swagger"]) + _put(2, _put(1, info["title"]) + _put(2, info["version"]))
    out += _put(8, b"".join(_named(2, path, _path(item)) for path, item in document["paths"].items()))
    return out + _put(9, b"".join(_named(1, name, _schema(of)) for name, of in document["definitions"].items()))
