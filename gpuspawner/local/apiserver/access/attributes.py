"""What an authorizer is asked: who, which verb, on what. Source: RequestInfoFactory of k8s.io/apiserver 1.36."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpuspawner.local.apiserver.metadata import path_segment
from gpuspawner.local.apiserver.requestinfo import METHODS, flag
from gpuspawner.local.apiserver.status import StatusError

__all__ = ["ANONYMOUS", "MASTERS", "Attributes", "User", "attributes_of", "forbidden"]

MASTERS = "system:masters"
"""The group that may do everything, whatever roles there are."""
_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """The user as a ``UserInfo`` of authentication.k8s.io."""
        known = {"uid": self.uid, "groups": list(self.groups), "extra": dict(self.extra)}
        return {"username": self.name} | {key: value for key, value in known.items() if value}


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question to an authorizer: a verb on a resource, or on a path where ``resource`` is empty."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def whole_resource(self) -> str:
        """The resource as a rule names it: ``pods``, ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def attributes_of(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """Read from a request what it asks for; it may be of no served resource."""
    parts = [part for part in path.split("/") if part]
    grouped = parts[:1] == ["apis"]
    if len(parts) < 3 + grouped or parts[0] not in ("api", "apis"):
        return Attributes(method.lower(), path=path)
    group, rest = (parts[1], parts[3:]) if grouped else ("", parts[2:])
    verb, namespace = METHODS.get(method, ""), ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    if not name and verb == "get":
        verb = "watch" if flag(query, "watch") else "list"
        name = _named(query.get("fieldSelector", ""))
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, group, resource, subresource, namespace, name, path)


def _named(field_selector: str) -> str:
    """The one name that a field selector allows, so that a rule with resourceNames can allow its list or watch."""
    for term in field_selector.split(","):
        key, _, value = term.replace("==", "=").partition("=")
        if key.strip() == "metadata.name" and value and not path_segment(value):
            return value.strip()
    return ""


def forbidden(user: User, asked: Attributes, reason: str = "") -> StatusError:
    """The 403 with which a kube-apiserver refuses. Source: responsewriters.Forbidden of k8s.io/apiserver."""
    if not asked.resource:
        what = f'path "{asked.path}"'
    else:
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        what = f'resource "{asked.whole_resource}" in API group "{asked.group}" {where}'
    why = f'User "{user.name}" cannot {asked.verb} {what}' + (f": {reason}" if reason else "")
    if not asked.resource:
        return StatusError(403, "Forbidden", f"forbidden: {why}", {})
    key = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    subject = key + (f' "{asked.name}"' if asked.name else "")
    details = {"name": asked.name} if asked.name else {}
    group = {"group": asked.group} if asked.group else {}
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details | group | {"kind": asked.resource})
