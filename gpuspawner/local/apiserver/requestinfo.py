"""What a request asks for, from its method and path."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpuspawner.local.apiserver.resources import BY_PATH, Resource

__all__ = ["METHODS", "RequestInfo", "flag", "parse_request"]

METHODS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
"""Verbs of the API by HTTP method, for an object that is named."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request for a resource."""

    resource: Resource
    verb: str
    """``get list watch create update patch delete deletecollection``."""
    namespace: str | None
    """None for cluster-scoped resources and for all namespaces at once."""
    name: str | None = None
    subresource: str = ""


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a query parameter is on: anything but ``0`` and ``false`` in any case is.

    Clients in Python send ``watch=True``. Source: ``Convert_Slice_string_To_bool`` in apimachinery's conversion.
    """
    return name in query and query[name].lower() not in ("0", "false")


def parse_request(method: str, path: str, watching: bool) -> RequestInfo | None:
    """Return what a request asks for, or None if the path names no served resource."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = None
    if rest[0] == "namespaces" and len(rest) >= 3 and (group, version, rest[2]) in BY_PATH:
        namespace, rest = rest[1], rest[2:]
    resource = BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace is not None and not resource.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else ""
    if (name and resource.namespaced and namespace is None) or (
        subresource and subresource not in resource.subresources
    ):
        return None
    verb = METHODS.get(method, "")
    if name is None:
        verb = {"get": "watch" if watching else "list", "delete": "deletecollection"}.get(verb, verb)
    elif watching and verb == "get":
        verb = "watch"
    return RequestInfo(resource, verb, namespace, name, subresource)
