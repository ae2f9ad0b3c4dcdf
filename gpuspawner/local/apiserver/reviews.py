"""Reviews, which are answered and not kept: the engine has no RBAC, whoever shows the token may do all."""

from typing import Any

from gpuspawner.local.apiserver.resources import Resource

__all__ = ["review"]

Object = dict[str, Any]


def review(resource: Resource, body: Any) -> Object | None:
    """Answer a review's create; None if the resource is not a review."""
    head: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
    if resource.plural == "selfsubjectaccessreviews":
        spec = body.get("spec", {}) if isinstance(body, dict) else {}
        return head | {"spec": spec, "status": {"allowed": True}}
    if resource.plural == "selfsubjectreviews":
        user = {"username": "gpuspawner:admin", "groups": ["system:masters", "system:authenticated"]}
        return head | {"status": {"userInfo": user}}
    return None
