"""Which devices of a node satisfy a pod's claims: the scheduler's part of dynamic resource allocation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

from gpuspawner.devices import (
    Alternative,
    Device,
    DeviceKey,
    alternatives,
    devices_held,
    devices_of,
    expressions,
    selected,
)
from gpuspawner.local.apiserver.device_claims import CLAIMS, PROTECTION
from gpuspawner.local.apiserver.store import Object, Store, timestamp

__all__ = ["Chosen", "DeviceStock", "allocate", "class_trouble", "hold", "reserve"]

_MOST_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device for a request of a claim."""

    request: str
    device: Device
    admin: bool


@dataclass(frozen=True, slots=True)
class DeviceStock:
    """All devices of a cluster, those that claims hold, and the selectors of every device class."""

    devices: Sequence[Device]
    taken: frozenset[DeviceKey]
    classes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, store: Store) -> "DeviceStock":
        """Read them from the store."""
        slices = [stored.obj for stored in store.items("resourceslices.resource.k8s.io")]
        classes = {
            stored.name: expressions(stored.obj["spec"].get("selectors"))
            for stored in store.items("deviceclasses.resource.k8s.io")
        }
        taken = {held.key for stored in store.items(CLAIMS) for held in devices_held(stored.obj)}
        return cls(devices_of(slices), frozenset(taken), classes)


def class_trouble(claims: Sequence[Object], stock: DeviceStock) -> str:
    """What kube-scheduler says of a claim that names a device class which does not exist; empty if none does."""
    for claim in claims:
        for request in claim["spec"].get("devices", {}).get("requests", []):
            for way in alternatives(request):
                if way.device_class not in stock.classes:
                    return f"request {way.name}: device class {way.device_class} does not exist"
    return ""


def allocate(claims: Sequence[Object], node: str, stock: DeviceStock) -> dict[str, list[Chosen]] | None:
    """The devices for every claim by its name, or None if the node has not enough.

    The first alternative of a request that fits on this node wins, as in kube-scheduler, whatever other nodes have.
    A claim that holds devices already keeps them, and fits only where they are.
    """
    open_claims = []
    for claim in claims:
        allocation = claim.get("status", {}).get("allocation")
        if allocation is None:
            open_claims.append(claim)
        elif not _reaches(allocation, node):
            return None
    here = [device for device in stock.devices if device.node in ("", node) and not device.closed]
    asked = [
        (claim, request) for claim in open_claims for request in claim["spec"].get("devices", {}).get("requests", [])
    ]
    found = next(islice(_fill(asked, here, stock, stock.taken), 1), None)
    if found is None:
        return None
    return {
        claim["metadata"]["name"]: [one for name, one in found if name == claim["metadata"]["name"]]
        for claim in open_claims
    }


def _reaches(allocation: Object, node: str) -> bool:
    terms = allocation.get("nodeSelector", {}).get("nodeSelectorTerms")
    if not terms:
        return True
    fields = [field for term in terms for field in term.get("matchFields", [])]
    return any(field["key"] == "metadata.name" and node in field["values"] for field in fields)


_Asked = tuple[Object, Object]
_Filled = list[tuple[str, Chosen]]


def _fill(
    asked: Sequence[_Asked], here: Sequence[Device], stock: DeviceStock, taken: frozenset[DeviceKey]
) -> Iterator[_Filled]:
    """All ways to satisfy the requests, best first."""
    if not asked:
        yield []
        return
    (claim, request), *rest = asked
    name = claim["metadata"]["name"]
    for way in alternatives(request):
        for devices in _picks(way, here, stock, taken):
            chosen = [(name, Chosen(way.name, device, way.admin)) for device in devices]
            now = taken if way.admin else taken | {device.key for device in devices}
            for others in _fill(rest, here, stock, now):
                filled = [*chosen, *others]
                if _agree(claim, [one for whose, one in filled if whose == name]):
                    yield filled


def _picks(
    way: Alternative, here: Sequence[Device], stock: DeviceStock, taken: frozenset[DeviceKey]
) -> Iterator[tuple[Device, ...]]:
    selectors = (*stock.classes.get(way.device_class, ("false",)), *way.selectors)
    fitting = [device for device in here if selected(device, selectors)]
    free = fitting if way.admin else [device for device in fitting if device.key not in taken]
    if way.count is None:
        if fitting and len(free) == len(fitting):
            yield tuple(free)
        return
    yield from islice(combinations(free, way.count), _MOST_TRIES)


def _agree(claim: Object, chosen: Sequence[Chosen]) -> bool:
    """Whether the devices meet the claim's constraints: an attribute that all of them have in common."""
    for constraint in claim["spec"]["devices"].get("constraints", []):
        attribute, requests = constraint.get("matchAttribute"), constraint.get("requests")
        bound = [one for one in chosen if not requests or {one.request, one.request.split("/")[0]} & set(requests)]
        values = [one.device.attribute(attribute) for one in bound] if attribute else []
        if values and (None in values or any(value != values[0] for value in values)):
            return False
    return True


def hold(store: Store, namespace: str, claim: str, chosen: Sequence[Chosen], node: str) -> None:
    """Write into a claim which devices it holds."""
    store.modify(CLAIMS, namespace, claim, lambda found: _write(found, chosen, node, timestamp(store.clock())))


def reserve(store: Store, namespace: str, claim: str, pod: Object) -> None:
    """Note a pod as a user of a claim."""
    user = {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}

    def note(found: Object) -> None:
        users = found["status"].setdefault("reservedFor", [])
        if user not in users:
            users.append(user)

    store.modify(CLAIMS, namespace, claim, note)


def _write(claim: Object, chosen: Sequence[Chosen], node: str, now: str) -> None:
    results: list[dict[str, Any]] = []
    for one in chosen:
        driver, pool, device = one.device.key
        result: dict[str, Any] = {"request": one.request, "driver": driver, "pool": pool, "device": device}
        results.append(result | ({"adminAccess": True} if one.admin else {}))
    allocation: Object = {"devices": {"results": results}}
    if any(one.device.node for one in chosen):
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        allocation["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    allocation["allocationTimestamp"] = now
    claim["status"] = {"allocation": allocation}
    finalizers = claim["metadata"].setdefault("finalizers", [])
    if PROTECTION not in finalizers:
        finalizers.append(PROTECTION)
