"""The devices of dynamic resource allocation and the claims that hold them, kept up to date one by one. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpuspawner.admission import OfferCapacity
from gpuspawner.catalog import Offer
from gpuspawner.devices import (
    Device,
    DeviceKey,
    alternatives,
    devices_held,
    devices_of,
    expressions,
    selected,
)

from .wire import Raw

__all__ = ["ClaimRecord", "Devices", "claim_record"]

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A ResourceClaim: the devices it holds, and while it holds none, the classes and how many it asks for.

    ``pods`` are the names of the pods that own or use it.
    """

    held: tuple[DeviceKey, ...]
    asks: frozenset[str]
    count: int
    pods: tuple[str, ...]


def claim_record(raw: Raw) -> ClaimRecord:
    """The record of a ResourceClaim."""
    ways = [
        way
        for request in ((raw.get("spec") or {}).get("devices") or {}).get("requests") or ()
        for way in alternatives(request)
    ]
    owners = raw["metadata"].get("ownerReferences") or ()
    users = (raw.get("status") or {}).get("reservedFor") or ()
    pods = [one.get("name") or "" for one in (*owners, *users)]
    return ClaimRecord(
        held=tuple(found.key for found in devices_held(raw)),
        asks=frozenset(way.device_class for way in ways),
        count=max((way.count or 1 for way in ways), default=0),
        pods=tuple(dict.fromkeys(pods)),
    )


class Devices:
    """All devices of the cluster.

    ``changed`` is called whenever an answer may have, and told whether the devices themselves have, or what is free.
    """

    def __init__(self, changed: Callable[[bool], None] = lambda lasting: None) -> None:
        self._changed = changed
        self._slices: dict[str, Raw] = {}
        self._classes: dict[str, tuple[str, ...]] = {}
        self._claims: dict[Key, ClaimRecord] = {}
        self._held: Counter[DeviceKey] = Counter()
        self._devices: dict[DeviceKey, Device] | None = None
        self._matching: dict[Offer, tuple[Device, ...]] = {}

    def slice_changed(self, name: str, raw: Raw | None) -> None:
        """A ResourceSlice came or changed, or (None) went."""
        if raw is None:
            self._slices.pop(name, None)
        else:
            self._slices[name] = {"spec": raw["spec"]}
        self._devices = None
        self._matching.clear()
        self._changed(True)

    def class_changed(self, name: str, raw: Raw | None) -> None:
        """A DeviceClass came or changed, or (None) went."""
        if raw is None:
            self._classes.pop(name, None)
        else:
            self._classes[name] = expressions((raw.get("spec") or {}).get("selectors"))
        self._matching.clear()
        self._changed(True)

    def claim_changed(self, key: Key, raw: Raw | None) -> tuple[str, ...]:
        """A ResourceClaim came or changed, or (None) went; the names of its pods."""
        old, new = self._claims.pop(key, None), claim_record(raw) if raw is not None else None
        if new is not None:
            self._claims[key] = new
        if old != new:
            self._held.subtract(old.held if old else ())
            self._held.update(new.held if new else ())
            self._held = +self._held
            self._changed(False)
        last = new or old
        return last.pods if last else ()

    def matching(self, offer: Offer) -> Sequence[Device]:
        """The devices that an offer of a device class selects."""
        found = self._matching.get(offer)
        if found is None:
            selectors = self._classes.get(offer.device_class)
            known = self._known().values() if selectors is not None else ()
            found = tuple(device for device in known if selected(device, (*(selectors or ()), *offer.selectors)))
            self._matching[offer] = found
        return found

    def on_nodes(self, offers: Iterable[Offer]) -> dict[str, list[Device]]:
        """The devices that any of some offers selects, by node."""
        nodes: dict[str, dict[DeviceKey, Device]] = {}
        for offer in offers:
            for device in self.matching(offer):
                nodes.setdefault(device.node, {})[device.key] = device
        return {node: list(devices.values()) for node, devices in nodes.items()}

    def is_free(self, device: Device) -> bool:
        """Whether no claim holds it and no taint closes it."""
        return not device.closed and not self._held[device.key]

    def capacity(self, offer: Offer, usable: Callable[[str], bool]) -> OfferCapacity:
        """The GPUs of an offer; ``usable`` says whether a node takes pods."""
        free = total = most_free = most = 0
        for node, devices in self.on_nodes([offer]).items():
            most = max(most, len(devices))
            if usable(node):
                left = sum(self.is_free(device) for device in devices)
                total, free, most_free = total + len(devices), free + left, max(most_free, left)
        return OfferCapacity(free=free, total=total, most_free_on_a_node=most_free, most_on_a_node=most)

    def landed_on(self, namespace: str, claims: Iterable[str], offer: Offer) -> bool:
        """Whether claims hold devices, and all of them are of this offer."""
        if not offer.device_class:
            return False
        held = [key for name in claims if (claim := self._claims.get((namespace, name))) for key in claim.held]
        matching = {device.key for device in self.matching(offer)} if held else set()
        return bool(held) and all(key in matching for key in held)

    def shared(self, namespace: str, claims: Iterable[str]) -> bool | None:
        """Whether some device that claims hold may be held by others, too; None where they are not known."""
        held = [key for name in claims if (claim := self._claims.get((namespace, name))) for key in claim.held]
        known = self._known()
        if not held or any(key not in known for key in held):
            return None
        return any(known[key].variables["allowMultipleAllocations"] for key in held)

    def asked(self, namespace: str, claims: Iterable[str]) -> int:
        """How many devices claims ask for."""
        return sum(claim.count for name in claims if (claim := self._claims.get((namespace, name))))

    def waiting(self, classes: Iterable[str]) -> int:
        """How many claims of any of these classes hold no device yet."""
        wanted = frozenset(classes)
        return sum(not claim.held and bool(claim.asks & wanted) for claim in self._claims.values())

    def _known(self) -> Mapping[DeviceKey, Device]:
        if self._devices is None:
            self._devices = {device.key: device for device in devices_of(self._slices.values())}
        return self._devices
