"""The GPUs of a class node by node, who waits for one, and when those that run give theirs back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gpuspawner.admission import Held
from gpuspawner.catalog import GPUClass, Offer
from gpuspawner.config import Settings
from gpuspawner.pod import held_of
from gpuspawner.sessions.lease import end_of, granted_runtime

from .inventory import Inventory
from .outlook import Ask, Session, free_ahead
from .records import NodeRecord, PodRecord
from .view import View

__all__ = ["AHEAD", "ClassGPUs", "GPUsByClass", "NodeGPUs", "NodeState", "expected_end", "gpus_by_node", "waiting_for"]

AHEAD = 12 * 3600.0
"""Seconds that the forecast looks ahead."""
_MINUTE = 60
_NO_NODE = ""


class NodeState(StrEnum):
    """Whether a node takes servers of a class."""

    OPEN = "open"
    CORDONED = "cordoned"
    CLOSING = "closing"
    NOT_READY = "not ready"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class NodeGPUs:
    """GPUs of one class on one node: ``total`` and ``used`` by whomever; ``free`` is 0 unless the node is open.

    ``product`` is what the node's label says, the device class, or the resource. ``taint`` names what keeps servers
    off a reserved node.
    """

    node: str
    product: str
    total: int
    used: int
    state: NodeState
    taint: str = ""

    @property
    def free(self) -> int:
        """How many a server could get now."""
        return max(0, self.total - self.used) if self.state is NodeState.OPEN else 0


@dataclass(frozen=True, slots=True)
class ClassGPUs:
    """The GPUs of one class: node by node; how many are free from when on (epoch seconds) over the next hours, if
    nobody else comes or extends; and how many launches of this hub wait for one.

    In the forecast servers give theirs back at their ends, and launches that wait take theirs in their order; GPUs of
    pods that end at no known time stay taken.
    """

    nodes: tuple[NodeGPUs, ...]
    ahead: tuple[tuple[float, int], ...]
    waiting: int


def gpus_by_node(inventory: Inventory, gpu_class: GPUClass) -> tuple[NodeGPUs, ...]:
    """Every node that has GPUs of a class, and devices that are on no node; by product and name.

    Where two offers of the class mean the same GPUs these count once.
    """
    found: dict[tuple[str, str], NodeGPUs] = {}
    for offer in gpu_class.accepts:
        open_nodes = {node.name for node in inventory.nodes_with(offer)}
        for name, total, used, product in _stock(inventory, offer):
            node = inventory.nodes.get(name)
            state, taint = (NodeState.OPEN, "") if name in (open_nodes | {_NO_NODE}) else _state(node)
            found.setdefault((name, offer.source), NodeGPUs(name, product, total, used, state, taint))
    return tuple(sorted(found.values(), key=lambda one: (one.product, one.node)))


def waiting_for(view: View, settings: Settings) -> list[tuple[PodRecord, Held]]:
    """The launches of this hub whose pods have no node yet, oldest first, and what each holds."""
    found = [
        (pod, held)
        for pod in view.pods.values()
        if not pod.node and not pod.over and (held := held_of(pod.annotations, settings)) is not None
    ]
    return sorted(found, key=lambda one: one[0].created_at)


class GPUsByClass:
    """One for the hub: the GPUs of all classes, worked out once for all who look, in one pass over the pods.

    ``clock`` says now; a forecast is made anew when pods, nodes or devices change, and each minute.
    """

    def __init__(self, view: View, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._view = view
        self._settings = settings
        self._clock = clock
        self._key: tuple[int, int] | None = None
        self._known: Mapping[str, ClassGPUs] = {}

    @property
    def waiting(self) -> int:
        """How many launches of this hub wait for a GPU, of whichever class."""
        return sum(held.gpus > 0 for _, held in waiting_for(self._view, self._settings))

    def now(self) -> Mapping[str, ClassGPUs]:
        """By the name of the class, in the order of the configuration."""
        now = self._clock().timestamp()
        key = (self._view.inventory.version, int(now // _MINUTE))
        if key != self._key:
            self._key, self._known = key, self._work_out(now)
        return self._known

    def _work_out(self, now: float) -> Mapping[str, ClassGPUs]:
        inventory, classes = self._view.inventory, self._settings.catalog.gpu_classes
        nodes = {name: gpus_by_node(inventory, gpu_class) for name, gpu_class in classes.items()}
        taken = self._taken(nodes, now)
        queue = waiting_for(self._view, self._settings)
        found = {}
        for name in classes:
            free = {one.node: one.free for one in nodes[name] if one.state is NodeState.OPEN}
            waiting = [(pod, held) for pod, held in queue if name in held.gpu_classes and held.gpus]
            asks = [Ask(held.gpus, granted_runtime(pod.annotations, pod.runtime), free) for pod, held in waiting]
            ahead = free_ahead(free, taken[name], asks, now, now + AHEAD)
            found[name] = ClassGPUs(nodes[name], tuple(ahead), len(waiting))
        return found

    def _taken(self, nodes: Mapping[str, Sequence[NodeGPUs]], now: float) -> Mapping[str, list[Session]]:
        """Who holds GPUs of which class until when, on nodes that take servers."""
        inventory, catalog = self._view.inventory, self._settings.catalog
        here: dict[str, list[tuple[str, Offer]]] = {}
        for name, found in nodes.items():
            for one in found:
                node = inventory.nodes.get(one.node)
                if node is not None and one.state is NodeState.OPEN:
                    offers = catalog.gpu_classes[name].accepts
                    here.setdefault(one.node, []).extend((name, offer) for offer in offers if _may_be(offer, node))
        taken: dict[str, list[Session]] = {name: [] for name in nodes}
        for pod in self._view.all_pods():
            if pod.ended or pod.node not in here:
                continue
            amounts = {name: count for name, offer in here[pod.node] if (count := _takes(pod, offer, inventory))}
            for name, count in amounts.items():
                taken[name].append(Session(pod.node, count, expected_end(pod, now)))
        return taken


def _stock(inventory: Inventory, offer: Offer) -> Iterator[tuple[str, int, int, str]]:
    """Node, GPUs, those taken, and what they are called."""
    if offer.device_class:
        for name, devices in inventory.devices.on_nodes([offer]).items():
            free = sum(map(inventory.devices.is_free, devices))
            yield name, len(devices), len(devices) - free, " or ".join(offer.product) or offer.device_class
        return
    for name, node in inventory.nodes.items():
        total = node.allocatable.get(offer.resource, 0)
        if total and offer.matches(node.labels):
            used = min(total, inventory.used(name).get(offer.resource, 0))
            yield name, total, used, _product(offer, node.labels)


def _product(offer: Offer, labels: Mapping[str, str]) -> str:
    product = labels.get(offer.label, "")
    return product or offer.resource


def _state(node: NodeRecord | None) -> tuple[NodeState, str]:
    """Why a node takes no servers of a class."""
    if node is None or not node.ready:
        return NodeState.NOT_READY, ""
    if node.unschedulable:
        return NodeState.CORDONED, ""
    if any(taint.closes for taint in node.taints):
        return NodeState.CLOSING, ""
    return NodeState.RESERVED, next((str(taint) for taint in node.taints if taint.repels), "")


def _may_be(offer: Offer, node: NodeRecord) -> bool:
    return bool(offer.device_class) or offer.matches(node.labels)


def _takes(pod: PodRecord, offer: Offer, inventory: Inventory) -> int:
    """How many GPUs of an offer a pod on one of its nodes takes."""
    if offer.resource:
        return pod.requests.get(offer.resource, 0)
    devices = inventory.devices
    landed = bool(pod.claims) and devices.landed_on(pod.namespace, pod.claims, offer)
    return devices.asked(pod.namespace, pod.claims) if landed else 0


def expected_end(pod: PodRecord, now: float) -> float | None:
    """When a pod ends unless someone extends it: its runtime counts from the kubelet's first sight of it."""
    if not pod.runtime:
        return None
    ends = end_of(pod.annotations, pod.started_at, pod.runtime)
    return now + granted_runtime(pod.annotations, pod.runtime) if ends is None else ends.timestamp()
