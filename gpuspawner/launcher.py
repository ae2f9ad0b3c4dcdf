"""The hub's one launcher: admits a request, makes the pod, waits for it, and clears away what nobody owns."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from gpuspawner.admission import Availability, Capacity, Granted, Held
from gpuspawner.bookkeeping.bookkeeper import Bookkeeper
from gpuspawner.bookkeeping.capacity_log import CapacityLog
from gpuspawner.bookkeeping.openings import Openings
from gpuspawner.bookkeeping.runs import carry, refusal_of
from gpuspawner.budgets.accounts import Accounts
from gpuspawner.catalog import GPUClass, uses_devices
from gpuspawner.cluster.client import ApiError, Client, Connection, UnreachableError
from gpuspawner.cluster.deadlines import TooSlowError
from gpuspawner.cluster.event_feed import EventFeed
from gpuspawner.cluster.events import Phase, Progress, ended
from gpuspawner.cluster.failures import NodeRefusedError, PodError, UnseenEndError, plain
from gpuspawner.cluster.gpus import GPUsByClass
from gpuspawner.cluster.kueue import Kueue
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.cluster.prospects import Choice, Prospects, tolerations_of
from gpuspawner.cluster.pulls import Pulls
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.refusals import HubNotAllowedError, refused
from gpuspawner.cluster.starting import until_answering, until_ready
from gpuspawner.cluster.view import View
from gpuspawner.config import Settings
from gpuspawner.device_claim import build_claim_template
from gpuspawner.errors import LaunchError
from gpuspawner.labels import LAUNCH
from gpuspawner.ledger.holds import Holds
from gpuspawner.ledger.records import Session
from gpuspawner.ledger.store import Store
from gpuspawner.live import LiveAvailability
from gpuspawner.metrics.counts import Counts
from gpuspawner.pod import COMPONENT, HUB_LABEL, Server, build_pod, held_of, pod_name, recheck_pod
from gpuspawner.provision import ForeignObjectError, Provision
from gpuspawner.recent import Recent
from gpuspawner.reports.availability import AvailabilityReport, availability_report
from gpuspawner.request import LaunchRequest
from gpuspawner.server_objects import ServerObjects
from gpuspawner.under_way import UnderWays
from gpuspawner.waiting import MovedError, Wait, WaitingRoom

__all__ = ["ForeignObjectError", "Launcher", "TooSlowError"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]
ModifyPod = Callable[[dict[str, Any]], Awaitable[Any]]
"""Given a pod's manifest, the manifest to make."""

_FIRST_SYNC = 10.0
_BLIP = 5.0
_GRACE = 30
_CANCELLED = "cancelled"
_REFUSALS = 3


@dataclass(slots=True)
class _Launch:
    """A launch under way; ``id`` tells its pods from those of other launches of the server.

    ``session`` is what it is charged as; ``paid``: by a budget.
    """

    request: LaunchRequest
    server: Server
    id: str
    tell: Callable[[Progress], None]
    modify: ModifyPod | None
    settings: Settings
    session: Session
    paid: bool


class Launcher:
    """One for the whole hub: configuration, client, live view and holds together.

    Parameters
    ----------
    settings
        The parsed configuration.
    owned
        Whether the hub knows a server (user name, server name) as running or starting. A pod with this hub's label
        that is neither known nor being launched is a leftover of a crash, and is deleted.
    pod_tls
        How to speak with servers that speak HTTPS (JupyterHub's internal_ssl).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        owned: Callable[[str, str], bool],
        client: Client | None = None,
        pod_tls: ssl.SSLContext | None = None,
        store: Store | None = None,
        clock: Callable[[], datetime] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.client = client or Client(Connection(**settings.connect.model_dump()), pod_tls=pod_tls)
        self._devices = uses_devices(settings.catalog)
        self.view = View(
            self.client,
            settings.namespace,
            {HUB_LABEL: settings.hub_name, "component": COMPONENT},
            may_fall_back=settings.user_namespaces is None,
            devices=self._devices,
        )
        self.events = EventFeed(self.client)
        self.provision = Provision(self.client, settings, sleep)
        self._clock = clock or (lambda: datetime.now(settings.timezone))
        self.objects = ServerObjects(
            self.client,
            self.view,
            settings,
            needed=self._is_launching,
            devices=self._devices,
            sleep=sleep,
            ledger_away=lambda: self.books.unavailable,
        )
        self.holds = Holds()
        self.accounts = Accounts(settings.workspaces, settings.timezone)
        self.store = store or Store(settings.ledger_url, settings.hub_name, self._clock)
        self.books = Bookkeeper(self.store, self.accounts, self.objects, clock=self.now, sleep=sleep)
        self._capacity_log = CapacityLog(self.books, self.totals, self.now)
        self.view.inventory.on_nodes.append(self._capacity_log.changed)
        self.counts = Counts()
        """For Prometheus."""
        self.books.settled = self.counts.settled
        self._openings = Openings(self.holds, self.books, self.now)
        self.prospects = Prospects(settings)
        self.view.inventory.tolerate(tolerations_of(settings))
        self._owned = owned
        self._monotonic = monotonic
        self._room = WaitingRoom(self.view, self.holds, settings, self._clock, monotonic)
        self._pulls = Pulls()
        self._kueue = Kueue(self.client, monotonic)
        self._sleep = sleep
        self.under_way = UnderWays()
        self._launching: dict[Key, str] = {}
        self._stopping: dict[Key, asyncio.Task[Any]] = {}
        self._endings: dict[Key, Callable[[], Coroutine[Any, Any, Any]]] = {}
        self._exits: Recent[Key, int] = Recent()
        self._causes: Recent[Key, PodError] = Recent()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.gpus = GPUsByClass(self.view, settings, self._clock)
        self.live = LiveAvailability(self.availability_report)
        """What is free and what is held, for everybody who looks at it."""
        self.view.inventory.changed = self.holds.changed = self.live.changed

    def begin(self) -> None:
        """Start to watch the cluster, and clear away leftovers as soon as it is known; needs a running loop."""
        self.books.begin()
        self.view.on_pod(self.books.pod_changed)
        self.view.on_pod(self._pod_changed)
        self.view.start()
        self._background(self._sweep())

    async def close(self) -> None:
        """Stop watching; what goes on in the background is cancelled. Pods stay."""
        self._capacity_log.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.live.close()
        await self.books.close()
        await self.store.close()
        await self.events.close()
        await self.view.close()
        await self.client.close()

    def now(self) -> datetime:
        """Now, in the hub's time zone."""
        return self._clock()

    def usage(self) -> list[Held]:
        """What every server of the hub holds."""
        return self.holds.usage()

    def capacity(self) -> Capacity:
        """GPUs in all and free now."""
        return self.view.capacity(self.settings.catalog)

    def totals(self) -> dict[str, int] | None:
        """GPUs of each class on nodes that take launches; None while the nodes are not known."""
        capacity = self.capacity()
        classes = self.settings.catalog.gpu_classes.items()
        return {name: capacity.total(gpu_class) for name, gpu_class in classes} if capacity.live else None

    def availability(self, settings: Settings, workspaces: Collection[str]) -> Mapping[Choice, Availability]:
        """Whether each profile and GPU class of some workspaces could start now; empty where nodes are not known.

        ``settings`` are the hub's, or those of one user where that user has profiles of their own.
        """
        if self.view.capacity_unknown is not None:
            return {}
        prospects = self.prospects if settings is self.settings else Prospects(settings)
        return prospects.of(self.view.inventory, self._room.expected, workspaces)

    def availability_report(self, workspaces: Collection[str]) -> AvailabilityReport:
        """What is free now, and what is left of the quotas of some workspaces."""
        return availability_report(
            self.settings,
            self.capacity(),
            self.usage(),
            self.now(),
            workspaces=workspaces,
            choices=self.availability(self.settings, workspaces),
            expected=self._room.expected,
        )

    def expected(self, gpu_class: GPUClass, gpus: int) -> Outlook | None:
        """What a launch that asks for so many GPUs of a class now can expect."""
        return self._room.expected(gpu_class, gpus)

    def outlook(self, user: str, server: str) -> Outlook | None:
        """What a launch that waits for a GPU can expect; None where it waits for none, or nodes are not known."""
        return self._room.outlook_of(user, server)

    async def synced(self, timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until the cluster has been read once; whether it has."""
        if not self.view.synced:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.view.started(), timeout)
        return self.view.synced

    async def launch(
        self,
        request: LaunchRequest,
        server: Server,
        tell: Callable[[Progress], None],
        timeout: float,
        *,
        modify: ModifyPod | None = None,
        settings: Settings | None = None,
    ) -> PodRecord:
        """Admit a request, make its pod, and wait until it is ready.

        ``modify`` may change the pod before it is made; what quota and placement rest on is put back. ``settings`` are
        the hub's with the profiles of this user, where each has their own.

        Whatever ends this early, cancelling included, leaves no pod behind: it is deleted in the background, for as
        long as that takes, and goes on to count until it is gone.

        Raises
        ------
        LaunchError
            For whatever keeps the server from starting; among the causes are waiting for a place longer than the
            request allows, a phase that is longer than the profile's deadline, and ``timeout`` seconds for all of it.
        """
        if not await self.synced(min(timeout, _FIRST_SYNC)) or not await self.view.answers(min(timeout, _BLIP)):
            raise self._blind()
        key, settings = (request.user, request.server), settings or self.settings
        launch = uuid4().hex
        granted, session = await self._openings.admit(
            request, settings, lambda: self._room.unclaimed(request, self.capacity()), launch
        )
        logger.info("%s/%s is granted: %s", *key, "; ".join(map(str, granted.checks)))
        self._room.admitted(granted)
        self._launching[key] = launch
        self._exits.pop(key, None)
        stopping = self._stopping.pop(key, None)
        if stopping is not None:
            stopping.cancel()  # what it has not deleted yet, this launch replaces
        paid = settings.workspaces[request.workspace].budget is not None and granted.cost > 0
        with self.under_way.launching(request, self.now(), tell) as seen:
            under_way = _Launch(request, server, launch, seen.tell, modify, settings, session, paid)
            try:
                async with asyncio.timeout(timeout):
                    await self.books.hold(session, paid=paid)
                    ready = await self._start(under_way, granted)
                self.books.launched(under_way.session.id)
                return ready
            except BaseException as error:
                del self._launching[key]
                self.provision.doubt(request, server.user_id)
                self._background(self._give_up(under_way, error))
                if isinstance(error, TimeoutError):
                    raise TooSlowError(None, timeout, seen.step.message if seen.step else "") from None
                raise
            finally:
                self._room.over(request)
                if self._launching.get(key) == launch:
                    del self._launching[key]

    def note_refusal(self, error: LaunchError, user: str, server: str, options: Mapping[str, Any]) -> None:
        """Keep in the audit log that a launch was refused before anything could be decided on it."""
        self.books.note(refusal_of(error, user, server, options, self.now()))

    async def stop(self, user: str, server: str, grace_seconds: int | None = None) -> None:
        """Delete a server's pod and wait until it is gone, at most its grace period and half a minute.

        Never raises: where the API does not answer, deleting goes on in the background.
        """
        key = (user, server)
        task = self._stopping[key] = self._background(self._withdraw(key, None, grace_seconds))
        task.add_done_callback(lambda done: self._stopping.pop(key) if self._stopping.get(key) is done else None)
        grace = _GRACE if grace_seconds is None else grace_seconds
        await asyncio.wait({task}, timeout=grace + 30)

    def class_of(self, user: str, server: str) -> str | None:
        """The GPU class that a server got; None without GPU, or where that is not known."""
        pod = self.objects.pod((user, server))
        return None if pod is None else self.view.class_of(pod, self.settings.catalog)

    def exit_code(self, user: str, server: str) -> int | None:
        """None while a server runs or nothing is known of it; else its exit code, 0 if only its absence is known."""
        pod = self.objects.pod((user, server))
        if pod is not None and pod.over:
            return 1 if pod.exit_code is None else pod.exit_code
        if pod is not None or not self.view.synced or (user, server) in self._launching:
            return None
        return self._exits.get((user, server), 0)

    def on_end(self, user: str, server: str, callback: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Call ``callback`` once, as soon as the pod of a running server has ended or is gone."""
        self._endings[(user, server)] = callback

    def forget_end(self, user: str, server: str) -> None:
        """Do not call back: the end is wanted."""
        self._endings.pop((user, server), None)
        self._exits.pop((user, server), None)

    def cause_of_end(self, user: str, server: str) -> PodError:
        """Why a running server has ended that nobody stopped."""
        return self._causes.pop((user, server), None) or UnseenEndError()

    async def recover(self, user: str, server: str, timeout: float) -> PodRecord | None:
        """The pod of a server that a hub before this one launched, once it is ready; None if that does not come."""
        if not await self.synced(timeout):
            return None
        try:
            async with asyncio.timeout(timeout):
                name = pod_name(user, server)
                return await self.view.wait_for(self.objects.namespace(user), name, lambda pod: pod.ready or pod.ended)
        except TimeoutError:
            return None

    async def _start(self, under_way: "_Launch", granted: Granted) -> PodRecord:
        """Make the pod, again for another GPU class where that is free sooner, and wait until its server answers."""
        request, server, tell = under_way.request, under_way.server, under_way.tell
        namespace = self.objects.namespace(request.user)
        wait = self._room.wait(request, server.answers_within, under_way.settings)
        try:
            await self.provision.prepare(request, server.user_id)
            await self.objects.keep_secret(request, server)
            refusals = 0
            while True:
                try:
                    ready = await self._place(under_way, granted, wait)
                    break
                except MovedError as moved:
                    tell(Progress(Phase.WAITING, moved.sentence, 10))
                    granted = moved.granted
                except NodeRefusedError as refusal:  # as where the GPU of a pod that has just ended is not free yet
                    if refusals == _REFUSALS:
                        raise
                    refusals += 1
                    tell(Progress(Phase.WAITING, f"{refusal.reason} It is tried again.", 10, refusal.detail))
                    await self._sleep(refusals)
        except (ApiError, UnreachableError) as error:
            raise refused(error, namespace) from None
        tell(
            Progress(
                Phase.STARTING,
                f"The server runs on node {plain(ready.node)}; waiting for its first answer.",
                90,
                node=plain(ready.node),
                within=server.answers_within,
            )
        )
        await until_answering(self.view, self.client, ready, server.url(ready.ip) + "api", server.answers_within)
        return ready

    async def _place(self, under_way: "_Launch", granted: Granted, wait: Wait) -> PodRecord:
        """Make the pod of a grant and wait until it is ready. Raises ``MovedError`` where another grant is better."""
        manifest = build_pod(granted, under_way.server, under_way.settings)
        if under_way.modify is not None:
            manifest = recheck_pod(await under_way.modify(deepcopy(manifest)), manifest, granted, under_way.settings)
        manifest["metadata"]["annotations"][LAUNCH] = under_way.id
        under_way.session = await self._openings.renewed(under_way.session, paid=under_way.paid)
        carry(manifest, under_way.session, until_charged=under_way.paid)
        namespace, wake = self.objects.namespace(granted.request.user), asyncio.Event()
        with self.events.follow(namespace, manifest["metadata"]["name"], wake.set) as follower:
            template = build_claim_template(granted, self.settings)
            if template is not None:
                await self.objects.replace("resourceclaimtemplates", namespace, template)
            made = await self.objects.replace("pods", namespace, manifest)
            pod = self.view.observe(made)
            await self.provision.publish(granted.request, under_way.server, made)
            with wait.in_line(pod, granted):
                try:
                    return await until_ready(
                        self.view,
                        self.client,
                        pod,
                        catalog=self.settings.catalog,
                        gpu_classes=granted.gpu_classes,
                        tell=under_way.tell,
                        follower=follower,
                        wake=wake,
                        clock=self._monotonic,
                        stopwatch=wait.stopwatch,
                        outlook=self._room.outlook,
                        reconsider=wait.reconsider,
                        pulls=self._pulls,
                        kueue=self._kueue,
                    )
                finally:
                    self._pulls.note(follower.events)

    async def _give_up(self, under_way: _Launch, error: BaseException) -> None:
        await self._withdraw((under_way.request.user, under_way.request.server), under_way.id)
        cause = error.code if isinstance(error, LaunchError) else TooSlowError.code
        self.books.withdrawn(under_way.session.id, _CANCELLED if isinstance(error, asyncio.CancelledError) else cause)

    async def _withdraw(self, key: Key, launch: str | None, grace_seconds: int | None = None) -> None:
        """Delete the pod of one launch (None: of whichever is there) and what belongs to it, and end its hold."""
        gone = await self.objects.withdraw(key, launch, grace_seconds)
        if key not in self._launching:
            self.holds.release(key)
            if gone:
                await self.objects.discard(key)

    def _pod_changed(self, pod: PodRecord, gone: bool) -> None:
        """What a pod takes counts until it has ended; an end nobody asked for is passed on and cleared away."""
        held = held_of(pod.annotations, self.settings)
        if held is None or (pod.namespace, pod.name) != (self.objects.namespace(held.user), pod_name(*held.key)):
            return
        key = held.key
        if gone or pod.over:
            self.holds.pod_ended(key)
        else:
            landed = self.view.class_of(pod, self.settings.catalog, held.gpu_classes)
            classes = (landed,) if landed else held.gpu_classes
            self.holds.pod_runs(replace(held, gpu_classes=classes, ends=pod.ends))
        launch = pod.annotations.get(LAUNCH)
        if not gone and self.objects.appeared_late(pod):
            self._background(self._withdraw(key, launch))
        if key in self._launching:
            return
        if gone or pod.over:
            self._exits[key] = pod.exit_code or (1 if pod.phase == "Failed" else 0)
            callback = self._endings.pop(key, None)
            if callback is not None:
                self._causes[key] = cause = ended(pod, ran=True)
                logger.info("%s/%s: %s", pod.namespace, pod.name, cause.reason)
                self._background(callback())
        if pod.ended and not (gone or pod.deleting or self.objects.is_deleting(pod)):
            self._background(self._withdraw(key, launch))

    async def _sweep(self) -> None:
        """Delete the pods and Secrets of launches that a hub before this one did not finish; tell of servers that
        ended since then."""
        await self.view.started()
        self._capacity_log.look()
        self.books.all_known()
        for pod in list(self.view.pods.values()):  # nodes and devices may have become known after the pods on them
            self._pod_changed(pod, gone=False)
        for key in [key for key in self._endings if self.objects.pod(key) is None]:
            self._background(self._endings.pop(key)())
        for pod in list(self.view.pods.values()):
            held = held_of(pod.annotations, self.settings)
            if held is not None and held.key not in self._launching and not self._owned(*held.key):
                logger.warning("Nobody owns pod %s/%s: it is deleted", pod.namespace, pod.name)
                self._background(self._withdraw(held.key, pod.annotations.get(LAUNCH)))

    def _is_launching(self, key: Key) -> bool:
        return key in self._launching

    def _blind(self) -> LaunchError:
        outage = self.view.outage
        if outage is not None and outage.forbidden:
            return HubNotAllowedError("list", "pods", self.settings.namespace, outage.reason)
        return refused(UnreachableError(self.view.unreachable or "no answer yet"), self.settings.namespace)

    def _background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("Error in the background of the launcher", exc_info=task.exception())
