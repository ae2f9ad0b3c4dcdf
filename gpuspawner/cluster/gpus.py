"""The GPUs of a class node by node, who waits for one, and when those that run give theirs back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

__all__ = ["NodeGPUs", "NodeState", "gpus_by_node", "gpus_free_ahead", "waiting_for"]

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


def gpus_free_ahead(
    view: View, settings: Settings, gpu_class: GPUClass, now: float, until: float
) -> list[tuple[float, int]]:
    """How many GPUs of a class are free from when on (epoch seconds), until a time, if nobody else comes or extends.

    Servers give theirs back at their ends; launches that wait take theirs in their order. GPUs of pods that end at no
    known time stay taken.
    """
    inventory = view.inventory
    nodes = {one.node: one for one in gpus_by_node(inventory, gpu_class) if one.state is NodeState.OPEN}
    free = {name: one.free for name, one in nodes.items()}
    sessions = [
        Session(pod.node, taken, _end(pod, now))
        for pod in view.all_pods()
        if pod.node in nodes and not pod.ended and (taken := _takes(pod, gpu_class, inventory))
    ]
    queue = [
        Ask(held.gpus, granted_runtime(pod.annotations, pod.runtime), nodes)
        for pod, held in waiting_for(view, settings)
        if gpu_class.name in held.gpu_classes and held.gpus
    ]
    return free_ahead(free, sessions, queue, now, until)


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


def _takes(pod: PodRecord, gpu_class: GPUClass, inventory: Inventory) -> int:
    """How many GPUs of a class a pod on a node takes."""
    labels = inventory.nodes[pod.node].labels
    resources = {offer.resource for offer in gpu_class.accepts if offer.matches(labels)}
    by_resource = sum(pod.requests.get(resource, 0) for resource in resources if resource)
    if by_resource or not pod.claims:
        return by_resource
    devices = inventory.devices
    landed = any(devices.landed_on(pod.namespace, pod.claims, offer) for offer in gpu_class.accepts)
    return devices.asked(pod.namespace, pod.claims) if landed else 0


def _end(pod: PodRecord, now: float) -> float | None:
    """When a pod ends unless someone extends it: its runtime counts from the kubelet's first sight of it."""
    if not pod.runtime:
        return None
    ends = end_of(pod.annotations, pod.started_at, pod.runtime)
    return now + granted_runtime(pod.annotations, pod.runtime) if ends is None else ends.timestamp()
