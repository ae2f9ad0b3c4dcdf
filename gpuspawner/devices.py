"""Devices of dynamic resource allocation: what ResourceSlices offer, what claims ask for and hold. Pure.

Kubernetes' kinds of the group resource.k8s.io/v1, as JSON. Not considered are devices that share counters (partitions
made on demand), devices for several claims at once, and slices that belong to nodes by a selector.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuspawner.cel import CELError, Quantity, Version, compile_cel
from gpuspawner.quantity import parse_quantity

__all__ = [
    "Alternative",
    "ClaimDevice",
    "Device",
    "DeviceKey",
    "alternatives",
    "devices_held",
    "devices_of",
    "expressions",
    "selected",
]

Object = Mapping[str, Any]
DeviceKey = tuple[str, str, str]
"""Driver, pool and name of a device: unique in a cluster."""
_CLOSED = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a ResourceSlice; ``node`` is empty for one that every node reaches.

    ``variables`` is what CEL sees as ``device``; ``closed`` says that a taint keeps new claims off.
    """

    key: DeviceKey
    node: str
    variables: Mapping[str, Any]
    closed: bool = False

    def attribute(self, name: str) -> Any:
        """An attribute by its name, as ``gpu.nvidia.com/uuid`` or, within the driver's domain, ``uuid``; or None."""
        domain, _, bare = name.rpartition("/")
        return self.variables["attributes"].get(domain or self.key[0], {}).get(bare)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to satisfy a request of a claim: so many devices of a class that all ``selectors`` select.

    ``name`` is that of the request, with firstAvailable ``request/alternative``; ``count`` None means all devices.
    """

    name: str
    device_class: str
    selectors: tuple[str, ...]
    count: int | None
    admin: bool = False


@dataclass(frozen=True, slots=True)
class ClaimDevice:
    """A device that a claim holds, for which of its requests."""

    request: str
    key: DeviceKey


def devices_of(slices: Iterable[Object]) -> list[Device]:
    """The devices of all slices, of each pool's newest generation only."""
    pools: dict[tuple[str, str], list[Object]] = {}
    newest: dict[tuple[str, str], int] = {}
    for one in slices:
        spec = one["spec"]
        pool = (spec["driver"], spec["pool"]["name"])
        generation = spec["pool"].get("generation") or 0
        if generation > newest.get(pool, -1):
            newest[pool] = generation
            pools[pool] = []
        if generation == newest[pool]:
            pools[pool].append(spec)
    return [device for specs in pools.values() for spec in specs for device in _devices(spec)]


def _devices(spec: Object) -> Iterator[Device]:
    driver = spec["driver"]
    for raw in spec.get("devices") or ():
        node = spec.get("nodeName") or raw.get("nodeName") or ""
        if not node and not (spec.get("allNodes") or raw.get("allNodes")):
            continue
        attributes = {name: _value(value) for name, value in (raw.get("attributes") or {}).items()}
        capacity = {
            name: Quantity(parse_quantity(found["value"])) for name, found in (raw.get("capacity") or {}).items()
        }
        variables = {
            "driver": driver,
            "attributes": _by_domain(driver, attributes),
            "capacity": _by_domain(driver, capacity),
            "allowMultipleAllocations": bool(raw.get("allowMultipleAllocations")),
        }
        closed = any(taint.get("effect") in _CLOSED for taint in raw.get("taints") or ())
        yield Device((driver, spec["pool"]["name"], raw["name"]), node, variables, closed)


class _Domains(dict[str, Mapping[str, Any]]):
    """CEL finds an empty map for a domain that a device says nothing about."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Mapping[str, Any]:
        return {}


def _by_domain(driver: str, values: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    domains: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        domain, _, bare = name.rpartition("/")
        domains.setdefault(domain or driver, {})[bare] = value
    return _Domains(domains)


def _value(attribute: Object) -> Any:
    if "version" in attribute:
        try:
            return Version.of(attribute["version"])
        except CELError:
            return attribute["version"]
    return next((attribute[kind] for kind in ("string", "int", "bool") if kind in attribute), None)


def expressions(selectors: Iterable[Object] | None) -> tuple[str, ...]:
    """The CEL expressions of a DeviceClass' or a request's ``selectors``."""
    return tuple(found["cel"]["expression"] for found in selectors or () if found.get("cel"))


def selected(device: Device, selectors: Sequence[str]) -> bool:
    """Whether all expressions hold for a device; one that has no value for it does not."""
    try:
        return all(compile_cel(expression)({"device": device.variables}) is True for expression in selectors)
    except CELError:
        return False


def alternatives(request: Object) -> list[Alternative]:
    """The ways to satisfy a request of a claim, best first."""
    name = request["name"]
    ways: list[tuple[str, Object]] = [(f"{name}/{sub['name']}", sub) for sub in request.get("firstAvailable") or ()]
    if request.get("exactly"):
        ways.append((name, request["exactly"]))
    return [
        Alternative(
            way,
            asked.get("deviceClassName") or "",
            expressions(asked.get("selectors")),
            None if asked.get("allocationMode") == "All" else asked.get("count") or 1,
            bool(asked.get("adminAccess")),
        )
        for way, asked in ways
    ]


def devices_held(claim: Object) -> list[ClaimDevice]:
    """The devices that a claim has been given, but those that it only looks at as an administrator."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results = (allocation.get("devices") or {}).get("results") or ()
    return [
        ClaimDevice(found["request"], (found["driver"], found["pool"], found["device"]))
        for found in results
        if not found.get("adminAccess")
    ]
