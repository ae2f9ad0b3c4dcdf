"""What the nodes have and what pods take of it, kept up to date pod by pod. Pure: no I/O, no clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuspawner.admission import OfferCapacity
from gpuspawner.catalog import Offer

from .devices import Devices
from .records import CPU, MEMORY, NodeRecord, PodRecord, Toleration

__all__ = ["Inventory", "Stock"]


@dataclass(frozen=True, slots=True)
class Stock:
    """What the cluster has for one pod, to tell "busy" from "can never be": see :meth:`Inventory.stock_for`.

    ``nodes`` could hold it by their labels and resource, ``usable`` of them take pods now. GPUs: ``gpus`` asked,
    ``free`` of ``total``, the most free and the most there are on one node; ``waiting`` other pods ask for the same
    resource. ``cpu`` (thousandths of a core) and ``memory`` (bytes) are asked, ``most_*`` what the largest node has.
    ``fits`` says whether some node, were it empty, could hold all of it together; ``repelled_by`` names the taints
    that keep the pod off every node that is left.
    """

    title: str
    resource: str = ""
    nodes: int = 0
    usable: int = 0
    gpus: int = 0
    free: int = 0
    total: int = 0
    most_free_on_a_node: int = 0
    most_on_a_node: int = 0
    waiting: int = 0
    cpu: int = 0
    memory: int = 0
    most_cpu: int = 0
    most_memory: int = 0
    fits: bool = False
    repelled_by: tuple[str, ...] = ()


class Inventory:
    """Allocatable and requested amounts per node; the cost of an answer does not depend on the number of pods."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeRecord] = {}
        self._used: dict[str, Counter[str]] = {}
        self._waiting: Counter[str] = Counter()
        self._matching: dict[Offer, tuple[str, ...]] = {}
        self._answers: dict[Offer, OfferCapacity] = {}
        self._tolerations: Mapping[Offer, Sequence[Toleration]] = {}
        self.devices = Devices(self._devices_changed)
        """The devices of dynamic resource allocation."""
        self.version = 0
        """Counts every change."""
        self.nodes_version = 0
        """Counts the changes of nodes and of devices, which are rare."""
        self.changed: Callable[[], None] = lambda: None
        """Called at every change."""
        self.on_nodes: list[Callable[[], None]] = []
        """Called whenever nodes or devices have changed."""

    @property
    def nodes(self) -> Mapping[str, NodeRecord]:
        """The nodes by name."""
        return self._nodes

    def tolerate(self, tolerations: Mapping[Offer, Sequence[Toleration]]) -> None:
        """Say which taints the launches of an offer tolerate: nodes with others hold nothing for it.

        An offer that is not named is taken to tolerate every taint.
        """
        self._tolerations = tolerations
        self._answers.clear()

    def node_changed(self, name: str, node: NodeRecord | None) -> None:
        """A node came or changed, or (None) went."""
        old = self._nodes.get(name)
        if old == node:
            return
        if old is None or node is None or old.labels != node.labels:
            self._matching.clear()
        self.version += 1
        self.nodes_version += 1
        self._answers.clear()
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node
        self.changed()
        self._tell_of_nodes()

    def pod_changed(self, old: PodRecord | None, new: PodRecord | None) -> None:
        """A pod came (``old`` None), changed, or went (``new`` None)."""
        before, after = _claim(old), _claim(new)
        if before == after:
            return
        self.version += 1
        for claim, sign in ((before, -1), (after, 1)):
            if claim is None:
                continue
            node, requests = claim
            account = self._used.setdefault(node, Counter()) if node else self._waiting
            for resource, amount in requests.items():
                account[resource] += sign * (amount if node else 1)
                if not account[resource]:
                    del account[resource]
            if node and not account:
                del self._used[node]
        self._answers.clear()
        self.changed()

    def _devices_changed(self, lasting: bool) -> None:
        self._answers.clear()
        self.version += 1
        self.nodes_version += lasting
        self.changed()
        if lasting:
            self._tell_of_nodes()

    def _tell_of_nodes(self) -> None:
        for listener in self.on_nodes:
            listener()

    def used(self, node: str) -> Mapping[str, int]:
        """What the pods on a node request together."""
        return self._used.get(node, _NOTHING)

    def has_room(self, node: NodeRecord, requests: Mapping[str, int]) -> bool:
        """Whether a node takes pods now and has so much left."""
        used = self.used(node.name)
        return node.usable and all(node.allocatable.get(r, 0) - used.get(r, 0) >= n for r, n in requests.items())

    def waiting(self, resource: str) -> int:
        """How many pods ask for a resource and have no node yet, whoever they belong to."""
        return self._waiting[resource]

    def nodes_with(self, offer: Offer) -> Iterator[NodeRecord]:
        """The nodes that take pods of an offer now and have its GPUs."""
        if offer.device_class:
            there = (self._nodes.get(name) for name in self.devices.on_nodes([offer]))
            yield from (node for node in there if node is not None and self._open_to(offer, node))
            return
        for name in self._nodes_of(offer):
            node = self._nodes[name]
            if node.allocatable.get(offer.resource, 0) and self._open_to(offer, node):
                yield node

    def capacity(self, offers: Iterable[Offer]) -> dict[Offer, OfferCapacity]:
        """The GPUs of each offer. ``total`` and ``free`` count nodes that take them; ``most_on_a_node`` all."""
        return {offer: self._answers.get(offer) or self._count(offer) for offer in offers}

    def stock_for(self, pod: PodRecord, offers: Sequence[Offer], title: str) -> Stock:
        """What there is for a pod that one of ``offers`` would satisfy; without offers, all nodes are looked at."""
        asked = pod.requests
        classes = [offer for offer in offers if offer.device_class]
        if classes and pod.claims:
            return self._device_stock(pod, classes, title)
        resource = next((offer.resource for offer in offers if offer.resource in asked), "")
        there = list(self._candidates(resource, offers)) if resource else list(self._nodes.values())
        nodes = _welcoming(pod, there)
        usable = [node for node in nodes if node.usable]
        free = [self._free(node, resource) for node in usable]
        return Stock(
            title=title,
            resource=resource,
            nodes=len(nodes),
            usable=len(usable),
            gpus=asked.get(resource, 0),
            free=sum(free),
            total=sum(node.allocatable.get(resource, 0) for node in usable),
            most_free_on_a_node=max(free, default=0),
            most_on_a_node=max((node.allocatable.get(resource, 0) for node in nodes), default=0),
            waiting=max(0, self._waiting[resource] - (not pod.node)) if resource else 0,
            cpu=asked.get(CPU, 0),
            memory=asked.get(MEMORY, 0),
            most_cpu=max((node.allocatable.get(CPU, 0) for node in nodes), default=0),
            most_memory=max((node.allocatable.get(MEMORY, 0) for node in nodes), default=0),
            fits=any(all(node.allocatable.get(r, 0) >= n for r, n in asked.items()) for node in nodes),
            repelled_by=_repelled(pod, nodes),
        )

    def _device_stock(self, pod: PodRecord, offers: Sequence[Offer], title: str) -> Stock:
        """As :meth:`stock_for`, of devices that a claim asks for."""
        gpus = self.devices.asked(pod.namespace, pod.claims)
        there = {name: devices for name, devices in self.devices.on_nodes(offers).items() if name in self._nodes}
        nodes = _welcoming(pod, [self._nodes[name] for name in there])
        usable = [node for node in nodes if node.usable]
        free = {node.name: sum(map(self.devices.is_free, there[node.name])) for node in usable}
        asked = pod.requests
        return Stock(
            title=title,
            resource=offers[0].device_class,
            nodes=len(nodes),
            usable=len(usable),
            gpus=gpus,
            free=sum(free.values()),
            total=sum(len(there[node.name]) for node in usable),
            most_free_on_a_node=max(free.values(), default=0),
            most_on_a_node=max((len(devices) for devices in there.values()), default=0),
            waiting=max(0, self.devices.waiting(offer.device_class for offer in offers) - (not pod.node)),
            cpu=asked.get(CPU, 0),
            memory=asked.get(MEMORY, 0),
            most_cpu=max((node.allocatable.get(CPU, 0) for node in nodes), default=0),
            most_memory=max((node.allocatable.get(MEMORY, 0) for node in nodes), default=0),
            fits=any(
                len(there[node.name]) >= gpus and all(node.allocatable.get(r, 0) >= n for r, n in asked.items())
                for node in nodes
            ),
            repelled_by=_repelled(pod, nodes),
        )

    def _candidates(self, resource: str, offers: Sequence[Offer]) -> Iterator[NodeRecord]:
        names = dict.fromkeys(n for offer in offers if offer.resource == resource for n in self._nodes_of(offer))
        return (self._nodes[name] for name in names if self._nodes[name].allocatable.get(resource, 0))

    def _nodes_of(self, offer: Offer) -> tuple[str, ...]:
        found = self._matching.get(offer)
        if found is None:
            found = tuple(name for name, node in self._nodes.items() if offer.matches(node.labels))
            self._matching[offer] = found
        return found

    def _open_to(self, offer: Offer, node: NodeRecord) -> bool:
        tolerated = self._tolerations.get(offer)
        return node.usable and (tolerated is None or not node.repelling(tolerated))

    def _free(self, node: NodeRecord, resource: str) -> int:
        return max(0, node.allocatable.get(resource, 0) - self.used(node.name).get(resource, 0))

    def _count(self, offer: Offer) -> OfferCapacity:
        if offer.device_class:
            answer = self._answers[offer] = self.devices.capacity(offer, lambda name: self._takes(offer, name))
            return answer
        free = total = most_free = most = 0
        for name in self._nodes_of(offer):
            node = self._nodes[name]
            there = node.allocatable.get(offer.resource, 0)
            most = max(most, there)
            if self._open_to(offer, node):
                left = self._free(node, offer.resource)
                total, free, most_free = total + there, free + left, max(most_free, left)
        answer = OfferCapacity(free=free, total=total, most_free_on_a_node=most_free, most_on_a_node=most)
        self._answers[offer] = answer
        return answer

    def _takes(self, offer: Offer, name: str) -> bool:
        """Whether a node takes pods of an offer; a device without a node (``name`` empty) is reached from all."""
        return not name or (name in self._nodes and self._open_to(offer, self._nodes[name]))


_NOTHING: Mapping[str, int] = {}


def _welcoming(pod: PodRecord, nodes: list[NodeRecord]) -> list[NodeRecord]:
    """The nodes that take a pod, be it not just now; all of them if none does."""
    return [node for node in nodes if not node.repelling(pod.tolerations)] or nodes


def _repelled(pod: PodRecord, nodes: Sequence[NodeRecord]) -> tuple[str, ...]:
    """The taints that keep a pod off every one of some nodes."""
    found = [node.repelling(pod.tolerations) for node in nodes]
    return tuple(sorted({str(taint) for taints in found for taint in taints})) if all(found) else ()


def _claim(pod: PodRecord | None) -> tuple[str, Mapping[str, int]] | None:
    """Where a pod takes what: its node (empty while it waits for one) and its requests; None if it takes nothing."""
    if pod is None or pod.ended or (pod.deleting and not pod.node):
        return None
    return pod.node, pod.requests
