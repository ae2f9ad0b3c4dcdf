"""Reviews: questions about oneself that are answered and not kept."""

from typing import Any

from gpuspawner.local.apiserver.access.attributes import Attributes, User
from gpuspawner.local.apiserver.access.authorizer import Authorizer
from gpuspawner.local.apiserver.resources import Resource
from gpuspawner.local.apiserver.schema import DecodeError, decode, definition_name
from gpuspawner.local.apiserver.status import StatusError

__all__ = ["review"]

Object = dict[str, Any]
_FIELDS = ("verb", "group", "resource", "subresource", "namespace", "name")


def review(authorizer: Authorizer, user: User, resource: Resource, body: Any) -> Object | None:
    """Answer a review's create; None if the resource is not a review. StatusError 400 or 422."""
    if resource.group not in ("authentication.k8s.io", "authorization.k8s.io"):
        return None
    try:
        decoded = decode(body, definition_name(resource.group, resource.version, resource.kind)).obj
    except DecodeError as error:
        where = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise StatusError.bad_request(f"{where}: {error}") from None
    head: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
    spec = decoded.get("spec", {})
    if resource.plural == "selfsubjectreviews":
        return head | {"status": {"userInfo": user.info()}}
    if resource.plural == "selfsubjectrulesreviews":
        return head | {"spec": {}, "status": _rules(authorizer, user, spec)}
    return head | {"spec": spec, "status": _access(authorizer, user, spec, resource)}


def _access(authorizer: Authorizer, user: User, spec: Object, resource: Resource) -> Object:
    on: Any = spec.get("resourceAttributes")
    path: Any = spec.get("nonResourceAttributes")
    if (on is None) == (path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        field = "spec.resourceAttributes"
        if on is not None:
            why, field = "cannot be specified in combination with resourceAttributes", "spec.nonResourceAttributes"
        cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: null: {why}", "field": field}
        raise StatusError.invalid(resource.group_kind, "", [cause])
    if path is not None:
        asked = Attributes(path.get("verb", ""), path=path.get("path", ""))
    else:
        asked = Attributes(**{key: on.get(key, "") for key in _FIELDS})
    decision = authorizer.decide(user, asked)
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _rules(authorizer: Authorizer, user: User, spec: Object) -> Object:
    if not spec.get("namespace"):
        raise StatusError.bad_request("no namespace on request")
    rules = authorizer.rules(user, spec["namespace"])
    return {
        "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }
