"""Whether a launch of a profile could start now: free, busy, after a node is added, or never as configured. Pure."""

from collections import Counter
from collections.abc import Sequence

from gpuspawner.admission import Availability, Part, State
from gpuspawner.quantity import format_bytes, format_cores
from gpuspawner.schema import closest

from .failures import count, plain
from .inventory import Inventory
from .placement import Needs
from .records import CPU, MEMORY, NodeRecord

__all__ = ["assess", "could_come", "suitable"]

_MANY = 3


def assess(
    needs: Needs,
    inventory: Inventory,
    resource: str = "",
    *,
    autoscaled: bool = False,
    large: Sequence[str] | None = None,
) -> Availability:
    """Whether a pod with these needs could start now.

    ``resource`` is the extended resource of its GPUs. With ``autoscaled``, a node that is missing or full can be
    added. ``large`` are the nodes that :func:`suitable` has found, where that is known already.
    """
    if large is None:
        found = suitable(needs, inventory, resource)
        if isinstance(found, Availability):
            return could_come(found) if autoscaled else found
        large = found
    nodes = [node for name in large if (node := inventory.nodes.get(name)) is not None]
    usable = [node for node in nodes if node.usable]
    if any(inventory.has_room(node, needs.requests) for node in usable):
        return Availability(State.FREE, _free(needs, inventory, resource, usable))
    why = _busy(needs, inventory, resource, nodes, usable)
    if autoscaled:
        return Availability(State.NEEDS_NODE, f"{why} The cluster can add a node, which takes minutes.")
    return Availability(State.BUSY, why)


def suitable(needs: Needs, inventory: Inventory, resource: str = "") -> tuple[str, ...] | Availability:
    """The nodes that could hold the pod were they empty and open; or, where there is none, what keeps it off."""
    nodes = list(inventory.nodes.values())
    having = [node for node in nodes if not resource or node.allocatable.get(resource)]
    if not having:
        return _never(Part.RESOURCE, _no_resource(resource, nodes))
    selected = [node for node in having if needs.selects(node)]
    if not selected:
        return _never(Part.LABEL, _no_label(needs, resource, having))
    welcome = [node for node in selected if not needs.repelled_by(node)]
    if not welcome:
        taints = sorted({str(taint) for node in selected for taint in needs.repelled_by(node)})
        which = f"{_nodes(len(selected))} that could hold it"
        verb = "has a taint" if len(selected) == 1 else "have taints"
        return _never(Part.TAINT, f"The {which} {verb} that the pod does not tolerate: {_some(taints)}.")
    large = [node for node in welcome if needs.fits(node)]
    if not large:
        return _never(Part.SIZE, _too_large(needs, resource, welcome))
    return tuple(node.name for node in large)


def _never(part: Part, reason: str) -> Availability:
    return Availability(State.MISCONFIGURED, reason, part)


def could_come(never: Availability) -> Availability:
    """What no node satisfies now, where an autoscaler can add nodes.

    With an autoscaler only a taint is for ever: the nodes it adds have it as well.
    """
    if never.part is Part.TAINT:
        return never
    return Availability(State.NEEDS_NODE, f"{never.reason} The cluster can add a node, which takes minutes.")


def _no_resource(resource: str, nodes: Sequence[NodeRecord]) -> str:
    if not nodes:
        return "The cluster has no nodes."
    offered = sorted({name for node in nodes for name, amount in node.allocatable.items() if "/" in name and amount})
    zero = [node for node in nodes if resource in node.allocatable]
    if zero:
        return (
            f"{_nodes(len(zero))} with {resource} {_has(zero)} none to give: the device plugin reports no healthy GPU."
        )
    nearest = closest(resource, offered)
    hint = f"did you mean {nearest}?" if nearest else f"they have {_some(offered)}." if offered else "they have no GPU."
    return f"No node has the resource {resource}; {hint}"


def _no_label(needs: Needs, resource: str, having: Sequence[NodeRecord]) -> str:
    what = f"node with {resource}" if resource else "node"
    patched = ", ".join(f"{key}={value}" for key, value in needs.selector.items())
    if patched and not any(all(n.labels.get(k) == v for k, v in needs.selector.items()) for n in having):
        return f"No {what} is labelled {patched} (nodeSelector)."
    wanted, found = [], Counter[str]()
    for term in needs.terms or ():
        for expression in term.get("matchExpressions") or ():
            if expression.get("operator") == "In":
                wanted += [f"{expression['key']}={value}" for value in expression["values"]]
                found.update(
                    f"{expression['key']}={value}"
                    for node in having
                    if (value := node.labels.get(expression["key"])) is not None
                )
    if not wanted:
        if resource:
            return f"Every node with {resource} offers slices or shares of a card, which this class does not mean."
        return "The labels of every node keep servers of this profile off it (node affinity)."
    there = f"there is {_some(sorted(found))}." if found else "none has such a label."
    return f"No {what} is labelled {_some(list(dict.fromkeys(wanted)), ' or ')}; {there}"


def _too_large(needs: Needs, resource: str, nodes: Sequence[NodeRecord]) -> str:
    most: Counter[str] = Counter()
    for node in nodes:
        most |= Counter({name: node.allocatable.get(name, 0) for name in needs.requests})
    which = f"no node with {resource}" if resource else "no node"
    for name, amount in needs.requests.items():
        if amount > most[name]:
            asked, there = _amount(name, amount), _amount(name, most[name])
            return f"It asks for {asked}; {which} that it may use has more than {there}."
    asked = ", ".join(_amount(name, amount) for name, amount in needs.requests.items())
    return f"It asks for {asked}; {which} that it may use has all of that together."


def _free(needs: Needs, inventory: Inventory, resource: str, usable: Sequence[NodeRecord]) -> str:
    if not resource:
        return "There is room."
    total = sum(node.allocatable.get(resource, 0) for node in usable)
    free = sum(node.allocatable.get(resource, 0) - inventory.used(node.name).get(resource, 0) for node in usable)
    return f"{max(0, free)} of {total} free."


def _busy(
    needs: Needs, inventory: Inventory, resource: str, nodes: Sequence[NodeRecord], usable: Sequence[NodeRecord]
) -> str:
    if not usable:
        return f"The {_nodes(len(nodes))} that could hold it {_is(nodes)} closed for maintenance or not ready."
    if not resource:
        return "The nodes have no room for it now."
    left = [node.allocatable.get(resource, 0) - inventory.used(node.name).get(resource, 0) for node in usable]
    total, free = sum(node.allocatable.get(resource, 0) for node in usable), sum(n for n in left if n > 0)
    if not free:
        return f"All {total} are taken." if total > 1 else "The only one is taken."
    if max(left) < needs.requests.get(resource, 0):
        return f"{free} of {total} are free, but no node has {needs.requests[resource]} of them together."
    return f"{free} of {total} are free, on nodes whose CPU or memory is taken."


def _amount(name: str, amount: int) -> str:
    if name == CPU:
        return f"{format_cores(amount / 1000)} CPU core{'' if amount == 1000 else 's'}"
    return f"{format_bytes(amount)} of memory" if name == MEMORY else f"{amount} of {name}"


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return plain(between.join(names[:_MANY])) + more


def _nodes(number: int) -> str:
    return count(number, "node")


def _is(nodes: Sequence[NodeRecord]) -> str:
    return "is" if len(nodes) == 1 else "are"


def _has(nodes: Sequence[NodeRecord]) -> str:
    return "has" if len(nodes) == 1 else "have"
