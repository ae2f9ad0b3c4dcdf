"""Kubernetes Status bodies, and the exception that carries one to the client."""

import copy
from collections.abc import Iterable
from typing import Any

__all__ = [
    "Cause",
    "StatusError",
    "duplicate_value",
    "forbidden_field",
    "invalid_value",
    "not_found_value",
    "required_value",
    "success",
    "unsupported_value",
]

Cause = dict[str, str]
"""One entry of ``details.causes``: ``reason``, ``message`` and ``field``."""


def invalid_value(field: str, value: str, why: str) -> Cause:
    """Say that ``field`` holds a value it may not hold; strings are quoted as Go quotes them."""
    shown = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {shown}: {why}", "field": field}


def required_value(field: str, why: str = "") -> Cause:
    """Say that ``field`` must be set."""
    return {"reason": "FieldValueRequired", "message": "Required value" + (f": {why}" if why else ""), "field": field}


def forbidden_field(field: str, why: str) -> Cause:
    """Say that ``field`` may not be set or changed."""
    return {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": field}


def unsupported_value(field: str, value: str, supported: Iterable[str]) -> Cause:
    """Say that ``field`` must be one of a few words."""
    shown = ", ".join(f'"{word}"' for word in sorted(supported))
    message = f'Unsupported value: "{value}": supported values: {shown}'
    return {"reason": "FieldValueNotSupported", "message": message, "field": field}


def duplicate_value(field: str, value: str) -> Cause:
    """Say that a key occurs twice in a list."""
    return {"reason": "FieldValueDuplicate", "message": f'Duplicate value: "{value}"', "field": field}


def not_found_value(field: str, value: str) -> Cause:
    """Say that ``field`` refers to what the object does not define."""
    return {"reason": "FieldValueNotFound", "message": f'Not found: "{value}"', "field": field}


def success(code: int = 200, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a Status of success, as an eviction (with code) or a deletion (with details) answers."""
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details is not None:
        return body | {"details": details}
    return body | {"code": code}


def _split(resource: str) -> dict[str, str]:
    plural, _, group = resource.partition(".")
    return ({"group": group} if group else {}) | {"kind": plural}


class StatusError(Exception):
    """An answer other than success, shaped as a kube-apiserver's.

    Attributes
    ----------
    status
        The HTTP status code.
    body
        The ``v1.Status`` object.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = code
        self._body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._body |= {"message": message, "reason": reason}
        if details is not None:
            self._body["details"] = details
        self._body["code"] = code

    @property
    def body(self) -> dict[str, Any]:
        """A fresh copy of the ``v1.Status`` object."""
        return copy.deepcopy(self._body)

    @property
    def reason(self) -> str:
        """The machine-readable reason, such as ``NotFound``."""
        return str(self._body["reason"])

    @property
    def message(self) -> str:
        """The sentence of the Status."""
        return str(self._body["message"])

    @classmethod
    def not_found(cls, resource: str, name: str) -> "StatusError":
        """404: ``resource`` (``pods``, ``leases.coordination.k8s.io``) has no object of that name."""
        return cls(404, "NotFound", f'{resource} "{name}" not found', {"name": name} | _split(resource))

    @classmethod
    def already_exists(cls, resource: str, name: str) -> "StatusError":
        """409: the name is taken."""
        return cls(409, "AlreadyExists", f'{resource} "{name}" already exists', {"name": name} | _split(resource))

    @classmethod
    def conflict(cls, resource: str, name: str, why: str | None = None) -> "StatusError":
        """409: the object changed since the client read it, or a precondition failed."""
        why = why or "the object has been modified; please apply your changes to the latest version and try again"
        message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
        return cls(409, "Conflict", message, {"name": name} | _split(resource))

    @classmethod
    def invalid(cls, kind: str, name: str, causes: list[Cause]) -> "StatusError":
        """422: ``kind`` (``Pod``, ``Lease.coordination.k8s.io``) breaks the rules that ``causes`` list."""
        said = [f"{cause['field']}: {cause['message']}" for cause in causes]
        message = f'{kind} "{name}" is invalid: ' + (said[0] if len(said) == 1 else f"[{', '.join(said)}]")
        return cls(422, "Invalid", message, {"name": name} | _split(kind) | {"causes": causes})

    @classmethod
    def forbidden(cls, resource: str, name: str, why: str, causes: list[Cause] | None = None) -> "StatusError":
        """403: an admission rule refuses."""
        details: dict[str, Any] = {"name": name} | _split(resource)
        if causes:
            details["causes"] = causes
        return cls(403, "Forbidden", f'{resource} "{name}" is forbidden: {why}', details)

    @classmethod
    def expired(cls, asked: int | str, oldest: int) -> "StatusError":
        """410: the history since ``asked`` is gone; ``oldest`` is the first version still known."""
        return cls(410, "Expired", f"too old resource version: {asked} ({oldest})")

    @classmethod
    def bad_request(cls, message: str) -> "StatusError":
        """400: the request cannot be understood."""
        return cls(400, "BadRequest", message)

    @classmethod
    def method_not_allowed(cls, resource: str) -> "StatusError":
        """405: the resource does not serve that verb."""
        message = "the server does not allow this method on the requested resource"
        return cls(405, "MethodNotAllowed", message, _split(resource))

    @classmethod
    def unsupported_media_type(cls, message: str) -> "StatusError":
        """415: the body's content type is not one that the verb takes."""
        return cls(415, "UnsupportedMediaType", message, {})
