"""The launches that wait: who is ahead of whom, when whose turn comes, how long they may, and where else is room."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from math import inf

from gpuspawner.admission import Capacity, Granted, OfferCapacity, admit
from gpuspawner.catalog import GPUClass, Offer
from gpuspawner.cluster.deadlines import Stage, Stopwatch
from gpuspawner.cluster.events import MENDED_BY_ANOTHER_CLASS
from gpuspawner.cluster.failures import PodError, plain
from gpuspawner.cluster.gpus import expected_end
from gpuspawner.cluster.outlook import Ask, Outlook, Session, forecast
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.errors import DeniedError
from gpuspawner.ledger.holds import Holds
from gpuspawner.quantity import format_duration
from gpuspawner.request import LaunchRequest

__all__ = ["MovedError", "Wait", "WaitingRoom"]

_LOOK_ELSEWHERE = 5.0
_FRESH = 10.0


class MovedError(Exception):
    """A launch leaves the GPUs it waits for: ``granted`` are others of its choice, and held for it already."""

    def __init__(self, granted: Granted, sentence: str) -> None:
        self.granted = granted
        self.sentence = sentence
        super().__init__(sentence)


class Wait:
    """The wait of one launch, whichever pods it makes: what is left of its deadlines, and what it has given up."""

    def __init__(self, room: "WaitingRoom", request: LaunchRequest, stopwatch: Stopwatch, settings: Settings) -> None:
        self.request = request
        self._settings = settings
        self.stopwatch = stopwatch
        self._room = room
        self._granted: Granted | None = None
        self._began = 0.0
        self._hopeless: set[str] = set()

    @contextlib.contextmanager
    def in_line(self, pod: PodRecord, granted: Granted) -> Iterator[None]:
        """Wait with this pod, behind those that were made before it."""
        self._granted, self._began = granted, self._room.monotonic()
        self._room.enter(pod, granted)
        try:
            yield
        finally:
            self._room.leave(pod)

    def reconsider(self, problem: PodError, final: bool) -> float:
        """Move to another class of the member's choice that is free, once this has waited long enough for the first.

        Returns in how many seconds to ask again. Where the problem is ``final``, since no node can satisfy the class,
        it moves even to a class that is taken: here there is nothing to wait for.

        Raises
        ------
        MovedError
            When it moves. Between the decision and the hold there is no ``await``.
        """
        granted, after = self._granted, self._room.settings.fallback_after
        if granted is None or after is None or not isinstance(problem, MENDED_BY_ANOTHER_CLASS):
            return inf
        if not self._room.alternatives(self.request, granted):
            return inf
        waited = self._room.monotonic() - self._began
        if final:
            self._hopeless.update(granted.gpu_classes)
        elif waited < after:
            return after - waited
        found = self._room.elsewhere(self.request, granted, self._settings, hopeless=self._hopeless)
        if found is None:
            return _LOOK_ELSEWHERE
        raise MovedError(found, self._moved(granted, found, waited))

    def _moved(self, before: Granted, after: Granted, waited: float) -> str:
        left, taken = self._room.titles(before), self._room.titles(after)
        if left == taken:
            return f"Other {taken} GPUs are free: the server gets one of those."
        if self._hopeless.issuperset(before.gpu_classes):
            return f"No node can give the server a {left} GPU; the launch goes on with {taken}, your next choice."
        waited_for = format_duration(max(1, round(waited)))
        return f"No {left} GPU was free for {waited_for}; the launch goes on with {taken}, your next choice."


class WaitingRoom:
    """One for the hub. ``clock`` says now in the hub's time zone, ``monotonic`` seconds that only grow."""

    def __init__(
        self,
        view: View,
        holds: Holds,
        settings: Settings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.monotonic = monotonic
        self._view = view
        self._holds = holds
        self._clock = clock
        self._launches: dict[str, tuple[PodRecord, Granted]] = {}
        self._moving: dict[tuple[str, str], Granted] = {}
        self._expected: dict[tuple[str, int], tuple[float, Outlook | None]] = {}

    def enter(self, pod: PodRecord, granted: Granted) -> None:
        """The pod of a launch has been made; it waits behind those made before."""
        self._moving.pop(granted.held.key, None)
        self._launches[pod.uid] = pod, granted

    def leave(self, pod: PodRecord) -> None:
        """The pod's launch is over, or goes on with another pod."""
        self._launches.pop(pod.uid, None)

    def over(self, request: LaunchRequest) -> None:
        """The launch is over."""
        self._moving.pop((request.user, request.server), None)

    def outlook(self, pod: PodRecord) -> Outlook | None:
        """What a pod that waits for a GPU can expect.

        None where it asks for none, or for a device and its claim is not seen yet, or its nodes are not known, or where
        another queue decides.
        """
        _, granted = self._launches.get(pod.uid, (pod, None))
        nodes = self._nodes(granted) if granted is not None else ()
        if granted is None or not nodes or pod.gated:
            return None
        resource, now = granted.placements[0].offer.resource, self._clock()
        waiting = list(self._waiting(resource))
        place = next((index for index, (uid, _) in enumerate(waiting) if uid == pod.uid), None)
        if place is None:
            return None
        known = {granted.placements: nodes}
        asks = []
        for _, other in waiting[: place + 1]:
            theirs = known.setdefault(other.placements, known.get(other.placements) or self._nodes(other))
            if not nodes.isdisjoint(theirs):
                asks.append(Ask(other.request.gpus, other.request.runtime, theirs))
        inventory = self._view.inventory
        classes = [offer.device_class for offer in self._device_offers()]
        unplaced = inventory.waiting(resource) if resource else inventory.devices.waiting(classes)
        others = max(0, unplaced - len(waiting))
        free = {name: self._free(name, resource) for name in frozenset().union(*(ask.nodes for ask in asks))}
        by = forecast(free, self._sessions(resource, now.timestamp()), asks, now.timestamp())
        if by is None:
            return Outlook(len(asks) - 1, others)
        return Outlook(len(asks) - 1, others, datetime.fromtimestamp(by, now.tzinfo), by - now.timestamp())

    def outlook_of(self, user: str, server: str) -> Outlook | None:
        """As :meth:`outlook`, of the pod of a launch under way; None also where it has a node."""
        for pod, granted in self._launches.values():
            if granted.held.key == (user, server):
                return self.outlook(pod) if self._has_no_node(pod) else None
        return None

    def expected(self, gpu_class: GPUClass, gpus: int) -> Outlook | None:
        """What a launch that asks for so many GPUs of a class now can expect, behind those that wait already.

        None for a class of devices. An answer is kept for a few seconds: it costs a look at every pod.
        """
        key, now = (gpu_class.name, gpus), self.monotonic()
        known = self._expected.get(key)
        if known is None or now - known[0] > _FRESH:
            resources = {offer.resource for offer in gpu_class.accepts if offer.resource}
            found = [self._expect(gpu_class, resource, gpus) for resource in resources]
            best = min(found, key=lambda one: inf if one.seconds is None else one.seconds, default=None)
            known = self._expected[key] = now, best
        return known[1]

    def _expect(self, gpu_class: GPUClass, resource: str, gpus: int) -> Outlook:
        offers = [offer for offer in gpu_class.accepts if offer.resource == resource]
        nodes = frozenset(node.name for offer in offers for node in self._view.inventory.nodes_with(offer))
        ahead = [
            Ask(other.request.gpus, other.request.runtime, theirs)
            for _, other in self._waiting(resource)
            if not nodes.isdisjoint(theirs := self._nodes(other))
        ]
        asks = [*ahead, Ask(gpus, 0, nodes)]
        free = {name: self._free(name, resource) for name in frozenset().union(*(ask.nodes for ask in asks))}
        now = self._clock()
        by = forecast(free, self._sessions(resource, now.timestamp()), asks, now.timestamp())
        if by is None:
            return Outlook(len(ahead))
        return Outlook(len(ahead), by=datetime.fromtimestamp(by, now.tzinfo), seconds=by - now.timestamp())

    def wait(self, request: LaunchRequest, answers_within: float, settings: Settings) -> Wait:
        """A launch begins to wait: with the deadlines of its profile, and as long as its member agreed to."""
        deadlines = settings.catalog.profiles[request.profile].deadlines
        seconds = {
            Stage.PLACE: request.wait,
            Stage.NODE: deadlines.node,
            Stage.STORAGE: deadlines.storage,
            Stage.IMAGE: deadlines.image,
            Stage.SETUP: deadlines.setup,
            Stage.ANSWER: answers_within,
        }
        return Wait(self, request, Stopwatch(seconds, impossible=deadlines.impossible), settings)

    def titles(self, granted: Granted) -> str:
        """The classes of a grant, for people."""
        return " or ".join(plain(self.settings.catalog.gpu_classes[name].title) for name in granted.gpu_classes)

    def alternatives(self, request: LaunchRequest, granted: Granted) -> list[Offer]:
        """The offers of a request's classes that its pod does not wait for."""
        tried = {placement.offer for placement in granted.placements}
        names = filter(granted.pays_for, request.gpu_classes)
        classes = (self.settings.catalog.gpu_classes[name] for name in names)
        return [offer for gpu_class in classes for offer in gpu_class.accepts if offer not in tried]

    def elsewhere(
        self, request: LaunchRequest, granted: Granted, settings: Settings, *, hopeless: Collection[str] = ()
    ) -> Granted | None:
        """Another grant of ``request`` than ``granted``, on GPUs that are free now and that nobody else waits for.

        It is held from now on, in place of the other. ``hopeless`` are classes that no node can satisfy: instead of
        them, a class that is taken will do as well. None where there is no such grant.
        """
        classes = tuple(name for name in request.gpu_classes if name not in hopeless and granted.pays_for(name))
        others = self.alternatives(replace(request, gpu_classes=classes), granted)
        if not others:
            return None
        tried = {placement.offer for placement in granted.placements}
        capacity = self.unclaimed(request, self._view.capacity(self.settings.catalog))
        capacity = replace(capacity, offers={**capacity.offers, **dict.fromkeys(tried, OfferCapacity())})
        asked = replace(granted.request, gpu_classes=classes)
        try:
            found = admit(asked, settings, self._holds.usage(), capacity, self._clock())
        except DeniedError:
            return None
        found = replace(granted, request=found.request, placements=found.placements, checks=found.checks)
        fits = any(capacity.of(place.offer).most_free_on_a_node >= request.gpus for place in found.placements)
        if not fits and not (hopeless and found.placements != granted.placements):
            return None
        self.admitted(found)
        return self._holds.admit(lambda usage: found)

    def _waiting(self, resource: str) -> Iterable[tuple[str, Granted]]:
        """The launches whose pods wait for this resource, in the order in which they were made."""
        for uid, (pod, granted) in self._launches.items():
            now = self._view.pod(*pod.key)
            if now is not None and now.uid == uid and not now.node and self._takes(now, resource):
                yield uid, granted

    def _nodes(self, granted: Granted) -> frozenset[str]:
        """The nodes that take pods now and have the card of one of the placements."""
        inventory = self._view.inventory
        return frozenset(node.name for place in granted.placements for node in inventory.nodes_with(place.offer))

    def _takes(self, pod: PodRecord, resource: str) -> int:
        """How many GPUs a pod takes of a resource, or (``resource`` empty) as devices of its claims."""
        if resource:
            return pod.requests.get(resource, 0)
        return self._view.inventory.devices.asked(pod.namespace, pod.claims)

    def _device_offers(self) -> list[Offer]:
        return [offer for offer in self.settings.catalog.offers() if offer.device_class]

    def _free(self, node: str, resource: str) -> int:
        inventory = self._view.inventory
        if not resource:
            devices = inventory.devices.on_nodes(self._device_offers()).get(node, ())
            return sum(map(inventory.devices.is_free, devices))
        return inventory.nodes[node].allocatable.get(resource, 0) - inventory.used(node).get(resource, 0)

    def _sessions(self, resource: str, now: float) -> list[Session]:
        """Who holds the resource on which node until when."""
        return [
            Session(pod.node, taken, expected_end(pod, now))
            for pod in self._view.all_pods()
            if pod.node and not pod.ended and (taken := self._takes(pod, resource))
        ]

    def unclaimed(self, request: LaunchRequest, capacity: Capacity) -> Capacity:
        """What is free of what a request may land on, less what launches that wait for it will take.

        It matters only for a request that has a choice of resources: others wait in kube-scheduler's own queue.
        """
        classes = [self.settings.catalog.gpu_classes[name] for name in request.gpu_classes]
        offers = [offer for gpu_class in classes for offer in gpu_class.accepts]
        if len({offer.resource for offer in offers}) < 2 and len(classes) < 2:
            return capacity
        claimed: Counter[Offer] = Counter()
        waiting = [granted for pod, granted in self._launches.values() if self._has_no_node(pod)]
        for granted in (*waiting, *self._moving.values()):
            if granted.held.key != (request.user, request.server):
                claimed.update({placement.offer: granted.request.gpus for placement in granted.placements})
        return replace(capacity, offers={**capacity.offers, **{o: _less(capacity.of(o), claimed[o]) for o in offers}})

    def admitted(self, granted: Granted) -> None:
        """A launch has been admitted; until its pod is made it claims what it was granted."""
        self._moving[granted.held.key] = granted

    def _has_no_node(self, pod: PodRecord) -> bool:
        now = self._view.pod(*pod.key)
        return now is None or (now.uid == pod.uid and not now.node)


def _less(there: OfferCapacity, gpus: int) -> OfferCapacity:
    most = max(0, there.most_free_on_a_node - gpus)
    return replace(there, free=max(0, there.free - gpus), most_free_on_a_node=most)
