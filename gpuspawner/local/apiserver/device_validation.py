"""What the kinds of dynamic resource allocation may say, beyond their schema."""

from collections.abc import Iterator
from typing import Any

from gpuspawner.cel import CELError, compile_cel
from gpuspawner.local.apiserver.status import Cause, duplicate_value, invalid_value, not_found_value, required_value

__all__ = ["FIXED_SPECS", "validate_devices", "validate_pod_claims"]

Object = dict[str, Any]
FIXED_SPECS = ("resourceclaims", "resourceclaimtemplates")
"""The kinds whose spec never changes."""

_MOST_ALTERNATIVES = 8
_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")


def validate_devices(plural: str, spec: Object) -> list[Cause]:
    """Return what is wrong with the spec of a device class, claim, template or slice."""
    if plural == "deviceclasses":
        return list(_selectors(spec.get("selectors", []), "spec.selectors"))
    if plural == "resourceslices":
        return list(_slice(spec))
    if plural == "resourceclaimtemplates":
        return list(_requests(spec.get("spec", {}), "spec.spec.devices"))
    return list(_requests(spec, "spec.devices"))


def _slice(spec: Object) -> Iterator[Cause]:
    for field in ("driver", "pool"):
        if not spec.get(field):
            yield required_value(f"spec.{field}")
    seen: set[str] = set()
    for index, device in enumerate(spec.get("devices", [])):
        name = device.get("name", "")
        if not name:
            yield required_value(f"spec.devices[{index}].name")
        elif name in seen:
            yield duplicate_value(f"spec.devices[{index}].name", name)
        seen.add(name)


def _requests(spec: Object, where: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, request in enumerate(spec.get("devices", {}).get("requests", [])):
        path = f"{where}.requests[{index}]"
        name = request.get("name", "")
        if not name:
            yield required_value(f"{path}.name")
        elif name in seen:
            yield duplicate_value(f"{path}.name", name)
        seen.add(name)
        given = [field for field in ("exactly", "firstAvailable") if request.get(field)]
        if len(given) != 1:
            why = "exactly one of `exactly` or `firstAvailable` is required"
            yield required_value(path, why) if not given else invalid_value(path, name, why)
        alternatives = request.get("firstAvailable", [])
        if len(alternatives) > _MOST_ALTERNATIVES:
            message = f"Too many: {len(alternatives)}: must have at most {_MOST_ALTERNATIVES} items"
            yield {"reason": "FieldValueTooMany", "message": message, "field": f"{path}.firstAvailable"}
        for number, asked in enumerate(alternatives):
            yield from _asked(asked, f"{path}.firstAvailable[{number}]", named=True)
        if request.get("exactly"):
            yield from _asked(request["exactly"], f"{path}.exactly", named=False)


def _asked(asked: Object, path: str, *, named: bool) -> Iterator[Cause]:
    if named and not asked.get("name"):
        yield required_value(f"{path}.name")
    if not asked.get("deviceClassName"):
        yield required_value(f"{path}.deviceClassName")
    if asked["allocationMode"] == "ExactCount" and asked["count"] < 1:
        yield invalid_value(f"{path}.count", str(asked["count"]), "must be greater than zero")
    yield from _selectors(asked.get("selectors", []), f"{path}.selectors")


def _selectors(selectors: list[Object], where: str) -> Iterator[Cause]:
    for index, selector in enumerate(selectors):
        expression = selector.get("cel", {}).get("expression", "")
        path = f"{where}[{index}].cel.expression"
        if not expression:
            yield required_value(path)
            continue
        try:
            compile_cel(expression)
        except CELError as error:
            yield invalid_value(path, expression, f"compilation failed: {error}")


def validate_pod_claims(spec: Object) -> list[Cause]:
    """Return what is wrong with a pod's resourceClaims, and with its containers' references to them."""
    causes: list[Cause] = []
    names: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims", [])):
        where, name = f"spec.resourceClaims[{index}]", claim.get("name", "")
        if not name:
            causes.append(required_value(f"{where}.name"))
        elif name in names:
            causes.append(duplicate_value(f"{where}.name", name))
        names.add(name)
        given = [field for field in _SOURCES if claim.get(field)]
        if len(given) != 1:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(invalid_value(where, name, why))
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind, [])):
            for number, used in enumerate(container.get("resources", {}).get("claims", [])):
                if used.get("name", "") not in names:
                    field = f"spec.{kind}[{index}].resources.claims[{number}].name"
                    causes.append(not_found_value(field, used.get("name", "")))
    return causes
