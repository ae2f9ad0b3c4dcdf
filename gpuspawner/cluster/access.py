"""Which permissions the cluster does not give: what Kubernetes answers, not what roles seem to say."""

import asyncio
from collections.abc import Iterable

from gpuspawner.permissions import Permission

from .client import Client

__all__ = ["missing_permissions"]


async def missing_permissions(client: Client, wanted: Iterable[Permission], namespace: str) -> list[Permission]:
    """Ask for each permission whether whoever the client is has it (SelfSubjectAccessReview).

    Raises
    ------
    ApiError, UnreachableError
        What Kubernetes answered.
    """
    wanted = list(wanted)
    answers = await asyncio.gather(*(_may(client, one, namespace) for one in wanted))
    return [one for one, allowed in zip(wanted, answers, strict=True) if not allowed]


async def _may(client: Client, one: Permission, namespace: str) -> bool:
    resource, _, subresource = one.resource.partition("/")
    attributes = {"verb": one.verb, "group": one.group, "resource": resource}
    if subresource:
        attributes["subresource"] = subresource
    if not one.everywhere:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.create("selfsubjectaccessreviews", None, review)
    return bool((answer.get("status") or {}).get("allowed"))
