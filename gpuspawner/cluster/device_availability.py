"""Whether a launch that gets its GPUs as devices of a claim could start now, or ever. Pure."""

from collections.abc import Sequence

from gpuspawner.admission import Availability, Part, State
from gpuspawner.catalog import Offer

from .availability import could_come, suitable
from .failures import count, plain
from .inventory import Inventory
from .placement import Needs

__all__ = ["assess_devices", "suitable_for_devices"]


def suitable_for_devices(
    needs: Needs, inventory: Inventory, offers: Sequence[Offer], gpus: int
) -> tuple[str, ...] | Availability:
    """The nodes that could hold the pod were they empty and open; or, where there is none, what keeps it off."""
    there = inventory.devices.on_nodes(offers)
    if not there:
        classes = ", ".join(dict.fromkeys(offer.device_class for offer in offers))
        narrowed = " and the product or selector of this class" if any(offer.selectors for offer in offers) else ""
        return Availability(
            State.MISCONFIGURED, f"No driver publishes a device of class {plain(classes)}{narrowed}.", Part.RESOURCE
        )
    found = suitable(needs, inventory)
    if isinstance(found, Availability):
        return found
    having = [name for name in found if name in there]
    if not having:
        reason = f"No node of those with such devices ({', '.join(sorted(there))}) may or can hold the pod."
        return Availability(State.MISCONFIGURED, plain(reason), Part.LABEL)
    large = tuple(name for name in having if len(there[name]) >= gpus)
    if not large:
        most = max(len(there[name]) for name in having)
        reason = f"It asks for {count(gpus, 'GPU')}; no node has more than {most} such devices."
        return Availability(State.MISCONFIGURED, reason, Part.SIZE)
    return large


def assess_devices(
    needs: Needs, inventory: Inventory, offers: Sequence[Offer], gpus: int, *, large: Sequence[str], autoscaled: bool
) -> Availability:
    """Whether a pod could start now on one of the nodes that :func:`suitable_for_devices` has found."""
    there = inventory.devices.on_nodes(offers)
    usable = [node for name in large if (node := inventory.nodes.get(name)) is not None and node.usable]
    free = {node.name: sum(map(inventory.devices.is_free, there.get(node.name, ()))) for node in usable}
    total = sum(len(there.get(node.name, ())) for node in usable)
    if any(free[node.name] >= gpus and inventory.has_room(node, needs.requests) for node in usable):
        return Availability(State.FREE, f"{sum(free.values())} of {total} free.")
    if not usable:
        why = f"The {count(len(large), 'node')} that could hold it are closed for maintenance or not ready."
    elif max(free.values()) >= gpus:
        why = "The nodes with free GPUs have no room for it now."
    elif sum(free.values()):
        why = f"{sum(free.values())} of {total} free, but no {gpus} on one node."
    else:
        why = f"All {total} are taken."
    busy = Availability(State.BUSY, why)
    return could_come(busy) if autoscaled else busy
