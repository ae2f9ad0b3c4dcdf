"""Values of the chart that are right one by one and contradict each other, in the words of its templates. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from gpuspawner.values.document import value_at

__all__ = ["contradictions"]

_CONTENTS = ("stringData", "data", "binaryData", "from")


def contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What templates/validation.yaml refuses of values that fit the chart's schema, a line each."""
    database = value_at(values, "hub.database") or {}
    external = database.get("type") == "external"
    if not external and database.get("existingSecret"):
        yield (
            "hub.database.existingSecret: found one with type sqlite, which has no URL; set hub.database.type to "
            "external"
        )
    if external and not database.get("existingSecret"):
        yield "hub.database.existingSecret: missing; it names the Secret with the URL of the external database"
    account = value_at(values, "serviceAccount") or {}
    if account.get("create") is False and not account.get("name"):
        yield (
            "serviceAccount.name: missing; with create: false it names the hub's service account, for the namespace's "
            "default one is every pod's"
        )
    if value_at(values, "ingress.enabled") and value_at(values, "httpRoute.enabled"):
        yield "httpRoute.enabled: found true with ingress.enabled; keep one of them"
    for part in ("hub", "singleuser"):
        for name, file in (value_at(values, f"{part}.extraFiles") or {}).items():
            said = sum(key in file for key in _CONTENTS) if file else 1
            if said != 1:
                yield (
                    f"{part}.extraFiles.{name}: found {said} of stringData, data, binaryData and from, allowed: one of "
                    "them"
                )
