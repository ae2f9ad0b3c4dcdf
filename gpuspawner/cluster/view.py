"""The live view: pods, nodes and free GPUs, from one watch of each, shared by the whole hub."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gpuspawner.admission import Capacity
from gpuspawner.catalog import Catalog, Offer
from gpuspawner.recent import Recent

from .client import Client
from .device_watch import DeviceWatch
from .inventory import Inventory, Stock
from .records import NodeRecord, PodRecord, gives_way, node_record, pod_record
from .watch import Key, Outage, Timing, Watch, key_of, loop_time
from .wire import Raw

__all__ = ["Listener", "NodeRecord", "PodRecord", "View"]

logger = logging.getLogger(__name__)

Listener = Callable[[PodRecord, bool], None]
"""Called with a pod of ours at each change, and whether it is gone."""


@dataclass(slots=True)
class _Waiter:
    predicate: Callable[[PodRecord], bool]
    uid: str | None
    future: asyncio.Future[PodRecord | None]


class View:
    """What the cluster looks like. Answers come from memory; an unreachable API leaves the last knowledge in place.

    Parameters
    ----------
    namespace
        Where the hub's pods live.
    own_labels
        The labels every pod of this hub carries; any other pod is foreign and only counted.
    cluster_wide
        Whether to read the pods of all namespaces, so that GPUs others hold are seen. Where RBAC refuses that, the
        view falls back to ``namespace`` by itself, unless the hub's pods live in others, too (``may_fall_back``).
    devices
        Whether to watch the devices of dynamic resource allocation, too.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        own_labels: Mapping[str, str],
        *,
        cluster_wide: bool = True,
        may_fall_back: bool = True,
        devices: bool = False,
        timing: Timing | None = None,
        clock: Callable[[], float] = loop_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.namespace = namespace
        self.inventory = Inventory()
        self._own_labels = dict(own_labels)
        self._clock = clock
        self._pods: dict[Key, PodRecord] = {}
        self._foreign: dict[Key, PodRecord] = {}
        self._vanished: Recent[Key, PodRecord] = Recent()
        self._observed: dict[Key, PodRecord] = {}
        self._waiters: dict[Key, list[_Waiter]] = {}
        self._listeners: dict[Key | None, list[Listener]] = {}
        self._answering = asyncio.Event()
        self._answering.set()
        self._outage_listeners: list[Callable[[], None]] = []
        self._pod_watch = Watch(
            client,
            "pods",
            on_upsert=self._pod_upserted,
            on_delete=self._pod_deleted,
            on_sync=self._pods_synced,
            on_outage=self._outage_changed,
            namespace=None if cluster_wide else namespace,
            fallback_namespace=namespace if may_fall_back else None,
            timing=timing,
            clock=clock,
            sleep=sleep,
            chance=chance,
        )
        self._node_watch = Watch(
            client,
            "nodes",
            on_upsert=lambda raw: self.inventory.node_changed(key_of(raw)[1], node_record(raw)),
            on_delete=lambda key, _: self.inventory.node_changed(key[1], None),
            timing=timing,
            clock=clock,
            sleep=sleep,
            chance=chance,
        )
        self._device_watch = (
            DeviceWatch(
                client,
                self.inventory.devices,
                namespace,
                self._claim_changed,
                cluster_wide=cluster_wide,
                may_fall_back=may_fall_back,
                timing=timing,
                clock=clock,
                sleep=sleep,
                chance=chance,
            )
            if devices
            else None
        )

    def start(self) -> None:
        """Begin to watch; needs a running event loop."""
        self._pod_watch.start()
        self._node_watch.start()
        if self._device_watch:
            self._device_watch.start()

    async def started(self) -> None:
        """Wait until the pods are known, and the nodes are known or refused. Does not return while the API is away."""
        await self._pod_watch.settled()
        await self._node_watch.settled()
        if self._device_watch:
            await self._device_watch.settled()

    async def close(self) -> None:
        """Stop watching; whoever still waits for a pod is cancelled."""
        await self._pod_watch.close()
        await self._node_watch.close()
        if self._device_watch:
            await self._device_watch.close()
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.future.cancel()

    async def answers(self, patience: float) -> bool:
        """Whether the API shows the hub its pods; in an outage it is asked again at once, for ``patience`` seconds."""
        outage = self._pod_watch.outage
        if outage is not None and not outage.forbidden:
            self._pod_watch.hurry()
            self._node_watch.hurry()
            if self._device_watch:
                self._device_watch.hurry()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answering.wait(), patience)
        return self._pod_watch.outage is None

    @property
    def synced(self) -> bool:
        """Whether the hub's pods are known, so that "not there" means gone and not unknown."""
        return self._pod_watch.synced

    @property
    def cluster_wide(self) -> bool:
        """Whether the pods of all namespaces are seen."""
        return self._pod_watch.namespace is None

    @property
    def pods(self) -> Mapping[Key, PodRecord]:
        """The hub's own pods, by namespace and name."""
        return MappingProxyType(self._pods)

    def all_pods(self) -> Iterator[PodRecord]:
        """Every pod that is seen, the hub's own and foreign ones; placeholders take nothing and are left out."""
        yield from self._pods.values()
        yield from self._foreign.values()

    @property
    def nodes(self) -> Mapping[str, NodeRecord]:
        """The nodes, by name."""
        return self.inventory.nodes

    @property
    def outage(self) -> Outage | None:
        """The outage of the pod watch: since when (monotonic) and why."""
        return self._pod_watch.outage

    @property
    def unreachable(self) -> str | None:
        """A sentence for people while the API does not answer or refuses to show pods, else None."""
        outage = self._pod_watch.outage
        if outage is None:
            return None
        if outage.forbidden:
            return f"Kubernetes does not let the hub read pods: {outage.reason}."
        return f"Kubernetes has not answered for {max(0, round(self._clock() - outage.since))} s: {outage.reason}."

    @property
    def silent_for(self) -> float:
        """Seconds since the API last said anything of pods or of nodes, whichever is longer; over about 180 the view
        may be stale. Nodes that the hub may not read are left out."""
        forbidden = self._node_watch.outage is not None and self._node_watch.outage.forbidden
        return max(self._pod_watch.silent_for, 0.0 if forbidden else self._node_watch.silent_for)

    @property
    def watches(self) -> tuple[Watch, ...]:
        """What it is kept up to date by."""
        return self._pod_watch, self._node_watch, *(self._device_watch.all if self._device_watch else ())

    @property
    def renewals(self) -> int:
        """How many watches were renewed because they had gone silent."""
        return self._pod_watch.renewals + self._node_watch.renewals

    @property
    def capacity_unknown(self) -> str | None:
        """Why the nodes, and so the free GPUs, are not known; None if they are."""
        if self._node_watch.synced:
            return self._device_watch.unknown if self._device_watch else None
        outage = self._node_watch.outage
        return outage.reason if outage else "not read yet"

    def pod(self, namespace: str, name: str) -> PodRecord | None:
        """One of the hub's pods; None if there is none of that name."""
        return self._pods.get((namespace, name))

    def last(self, namespace: str, name: str) -> PodRecord | None:
        """A pod as it is or, if it is gone, as it last was: what its end can be explained from."""
        return self._pods.get((namespace, name)) or self._vanished.get((namespace, name))

    def observe(self, raw: Raw) -> PodRecord:
        """Take in a pod that the API has just returned from a create or get, before the watch tells of it.

        Unless the watch has already told of its end; then :meth:`pod` does not know it.
        """
        record = pod_record(raw, own=True)
        known = self._pods.get(record.key)
        if known is not None and not _older(known, record):
            return known
        if not self._has_ended(record):
            self._observed[record.key] = record
            self._put(record)
        return record

    async def wait_for(
        self, namespace: str, name: str, predicate: Callable[[PodRecord], bool], *, uid: str | None = None
    ) -> PodRecord | None:
        """Wait until ``predicate`` holds for a pod; None as soon as the pod (or, with ``uid``, that very pod) is gone.

        A pod that the view has never seen is gone: tell the view of a new one by :meth:`observe`. Sets no time limit.
        """
        key = (namespace, name)
        waiter = _Waiter(predicate, uid, asyncio.get_running_loop().create_future())
        self._check(waiter, self._pods.get(key))
        if not waiter.future.done():
            waiters = self._waiters.setdefault(key, [])
            waiters.append(waiter)
            try:
                await waiter.future
            finally:
                waiters.remove(waiter)
                if not waiters and self._waiters.get(key) is waiters:
                    del self._waiters[key]
        return waiter.future.result()

    def on_pod(self, listener: Listener, *, namespace: str = "", name: str = "") -> Callable[[], None]:
        """Call ``listener(record, gone)`` at each change of the hub's pods, or of one; returns how to stop that."""
        key = (namespace, name) if name else None
        self._listeners.setdefault(key, []).append(listener)

        def stop() -> None:
            listeners = self._listeners.get(key, [])
            if listener in listeners:
                listeners.remove(listener)
            if not listeners:
                self._listeners.pop(key, None)

        return stop

    def on_outage(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` when :attr:`unreachable` begins and when it ends; returns how to stop that."""
        self._outage_listeners.append(listener)
        return lambda: self._outage_listeners.remove(listener)

    def capacity(self, catalog: Catalog) -> Capacity:
        """GPUs in all and free now, per offer of the catalog."""
        return Capacity(
            offers=self.inventory.capacity(catalog.offers()),
            live=self.capacity_unknown is None,
            cluster_wide=self.cluster_wide and (self._device_watch is None or self._device_watch.cluster_wide),
        )

    def class_of(self, pod: PodRecord, catalog: Catalog, among: Sequence[str] = ()) -> str | None:
        """The GPU class whose card a bound pod got, by its node's labels or by the devices of its claims.

        None without GPU, node or such a class. Where a card belongs to several classes, the first of ``among`` (all of
        the catalog's if empty) counts.
        """
        node = self.inventory.nodes.get(pod.node)
        if node is None:
            return None
        for name in among or catalog.gpu_classes:
            gpu_class = catalog.gpu_classes.get(name)
            for offer in gpu_class.accepts if gpu_class else ():
                if offer.resource in pod.requests and offer.matches(node.labels):
                    return name
                if pod.claims and self.inventory.devices.landed_on(pod.namespace, pod.claims, offer):
                    return name
        return None

    def stock_for(self, pod: PodRecord, catalog: Catalog, among: Sequence[str] = ()) -> Stock | None:
        """What the cluster has for a pod that may land on the classes ``among``; None if the nodes are not known."""
        if self.capacity_unknown is not None:
            return None
        classes = [catalog.gpu_classes[name] for name in among or catalog.gpu_classes if name in catalog.gpu_classes]
        offers = [offer for gpu_class in classes for offer in gpu_class.accepts if _asks(pod, offer)]
        title = " or ".join(c.title for c in classes if any(_asks(pod, offer) for offer in c.accepts))
        return self.inventory.stock_for(pod, offers, title if among else "")

    def _outage_changed(self) -> None:
        if self._pod_watch.outage is None:
            self._answering.set()
        else:
            self._answering.clear()
        for listener in tuple(self._outage_listeners):
            listener()

    def _has_ended(self, record: PodRecord) -> bool:
        """Whether the watch is past this state of a pod and knows no such pod any more."""
        watched = self._pod_watch.namespace in (None, record.namespace)
        return watched and not self._pod_watch.knows(record.key) and _at_most(record.version, self._pod_watch.version)

    def _claim_changed(self, namespace: str, pod: str) -> None:
        """The devices that a pod got are told by its claim, maybe later than its node."""
        record = self._pods.get((namespace, pod))
        if record is not None and record.claims:
            self._announce(record, gone=False)

    def _pod_upserted(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        labels = metadata.get("labels") or {}
        own = all(labels.get(name) == value for name, value in self._own_labels.items())
        record = pod_record(raw, own=own)
        observed = self._observed.get(record.key)
        if observed is not None:
            if _older(record, observed):
                return
            del self._observed[record.key]
        if not own and (record.ended or gives_way(raw)):
            self._drop(record.key, record)
        else:
            self._put(record)

    def _pod_deleted(self, key: Key, raw: Raw | None) -> None:
        known = self._pods.get(key)
        record = pod_record(raw, own=known is not None) if raw is not None else None
        observed = self._observed.get(key)
        if observed is not None:
            if record is None or record.uid != observed.uid:
                return  # an earlier pod of the same name
            del self._observed[key]
        self._drop(key, record)

    def _pods_synced(self) -> None:
        """Forget observed pods that came and went before the list was made."""
        for key, record in list(self._observed.items()):
            if not self._pod_watch.knows(key) and _at_most(record.version, self._pod_watch.version):
                del self._observed[key]
                self._drop(key, None)

    def _put(self, record: PodRecord) -> None:
        key = record.key
        old = self._pods.get(key) or self._foreign.get(key)
        self.inventory.pod_changed(old, record)
        home, other = (self._pods, self._foreign) if record.own else (self._foreign, self._pods)
        if old is not None and old.own and old.uid != record.uid:
            self._announce(old, gone=True)
        other.pop(key, None)
        home[key] = record
        if record.own:
            self._vanished.pop(key, None)
            self._announce(record, gone=False)

    def _drop(self, key: Key, final: PodRecord | None) -> None:
        old = self._pods.pop(key, None) or self._foreign.pop(key, None)
        self.inventory.pod_changed(old, None)
        if old is None or not old.own:
            return
        last = final if final is not None and final.own and final.uid == old.uid else old
        self._vanished[key] = last
        self._announce(last, gone=True)

    def _announce(self, record: PodRecord, *, gone: bool) -> None:
        for waiter in tuple(self._waiters.get(record.key, ())):
            if not (gone and waiter.uid not in (None, record.uid)):
                self._check(waiter, None if gone else record)
        for key in (record.key, None):
            for listener in tuple(self._listeners.get(key, ())):
                try:
                    listener(record, gone)
                except Exception:  # one server's trouble must not keep the news from the others
                    logger.exception("A listener failed on pod %s/%s", record.namespace, record.name)

    @staticmethod
    def _check(waiter: _Waiter, record: PodRecord | None) -> None:
        if waiter.future.done():
            return
        try:
            if record is None or waiter.uid not in (None, record.uid):
                waiter.future.set_result(None)
            elif waiter.predicate(record):
                waiter.future.set_result(record)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever gave the predicate
            waiter.future.set_exception(error)


def _asks(pod: PodRecord, offer: Offer) -> bool:
    return bool(pod.claims) if offer.device_class else offer.resource in pod.requests


def _older(record: PodRecord, than: PodRecord) -> bool:
    return record.version != than.version and _at_most(record.version, than.version)


def _at_most(version: str, other: str | None) -> bool:
    """Compare resourceVersions, which are comparable as decimal numbers (KEP-5504); False where they are not."""
    return version.isdecimal() and (other or "").isdecimal() and int(version) <= int(other or 0)
