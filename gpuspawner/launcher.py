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

from gpuspawner.admission import Availability, Capacity, Granted, Held, admit
from gpuspawner.catalog import uses_devices
from gpuspawner.cluster.client import ApiError, Client, Connection, UnreachableError
from gpuspawner.cluster.deadlines import TooSlowError
from gpuspawner.cluster.event_feed import EventFeed
from gpuspawner.cluster.events import Phase, Progress, ended
from gpuspawner.cluster.failures import NodeRefusedError, PodError, UnseenEndError, plain
from gpuspawner.cluster.prospects import Choice, Prospects, tolerations_of
from gpuspawner.cluster.pulls import Pulls
from gpuspawner.cluster.records import PodRecord
from gpuspawner.cluster.refusals import HubNotAllowedError, refused
from gpuspawner.cluster.starting import until_answering, until_ready
from gpuspawner.cluster.view import View
from gpuspawner.companions import namespace_of
from gpuspawner.config import Settings
from gpuspawner.device_claim import build_claim_template
from gpuspawner.errors import LaunchError
from gpuspawner.labels import LAUNCH
from gpuspawner.ledger import Ledger
from gpuspawner.pod import COMPONENT, HUB_LABEL, Server, build_pod, build_secret, held_of, pod_name, recheck_pod
from gpuspawner.provision import ForeignObjectError, Provision
from gpuspawner.recent import Recent
from gpuspawner.request import LaunchRequest
from gpuspawner.waiting import MovedError, Wait, WaitingRoom

__all__ = ["ForeignObjectError", "Launcher", "TooSlowError"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]
ModifyPod = Callable[[dict[str, Any]], Awaitable[Any]]
"""Given a pod's manifest, the manifest to make."""

_NOT_FOUND, _CONFLICT = 404, 409
_FIRST_SYNC = 10.0
_BLIP = 5.0
_GRACE = 30
_REPLACEMENTS = 3
_REFUSALS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class _Launch:
    """A launch under way; ``id`` tells its pods from those of other launches of the server."""

    request: LaunchRequest
    server: Server
    id: str
    tell: Callable[[Progress], None]
    modify: ModifyPod | None
    settings: Settings


class Launcher:
    """One for the whole hub: configuration, client, live view and ledger together.

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
        self.ledger = Ledger()
        self._prospects = Prospects(settings)
        self.view.inventory.tolerate(tolerations_of(settings))
        self._owned = owned
        self._clock = clock or (lambda: datetime.now(settings.timezone))
        self._monotonic = monotonic
        self._room = WaitingRoom(self.view, self.ledger, settings, self._clock, monotonic)
        self._pulls = Pulls()
        self._sleep = sleep
        self._launching: dict[Key, str] = {}
        self._stopping: dict[Key, asyncio.Task[Any]] = {}
        self._deleting: set[str] = set()
        self._without_secret: set[Key] = set()
        self._endings: dict[Key, Callable[[], Coroutine[Any, Any, Any]]] = {}
        self._exits: Recent[Key, int] = Recent()
        self._causes: Recent[Key, PodError] = Recent()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._never_seen: Recent[str, None] = Recent()

    def begin(self) -> None:
        """Start to watch the cluster, and clear away leftovers as soon as it is known; needs a running loop."""
        self.view.on_pod(self._pod_changed)
        self.view.start()
        self._background(self._sweep())

    async def close(self) -> None:
        """Stop watching; what goes on in the background is cancelled. Pods stay."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.events.close()
        await self.view.close()
        await self.client.close()

    def now(self) -> datetime:
        """Now, in the hub's time zone."""
        return self._clock()

    def usage(self) -> list[Held]:
        """What every server of the hub holds."""
        return self.ledger.usage()

    def capacity(self) -> Capacity:
        """GPUs in all and free now."""
        return self.view.capacity(self.settings.catalog)

    def availability(self, settings: Settings, workspaces: Collection[str]) -> Mapping[Choice, Availability]:
        """Whether each profile and GPU class of some workspaces could start now; empty where nodes are not known.

        ``settings`` are the hub's, or those of one user where that user has profiles of their own.
        """
        if self.view.capacity_unknown is not None:
            return {}
        prospects = self._prospects if settings is self.settings else Prospects(settings)
        return prospects.of(self.view.inventory, self._room.expected, workspaces)

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
        free = self._room.unclaimed(request, self.capacity())
        granted = self.ledger.admit(lambda usage: admit(request, settings, usage, free, self.now()))
        self._room.admitted(granted)
        self._launching[key] = launch = uuid4().hex
        self._exits.pop(key, None)
        stopping = self._stopping.pop(key, None)
        if stopping is not None:
            stopping.cancel()  # what it has not deleted yet, this launch replaces
        waits_for = ""

        def told(step: Progress) -> None:
            nonlocal waits_for
            waits_for = step.message
            tell(step)

        try:
            async with asyncio.timeout(timeout):
                return await self._start(_Launch(request, server, launch, told, modify, settings), granted)
        except BaseException as error:
            del self._launching[key]
            self.provision.doubt(request, server.user_id)
            self._background(self._withdraw(key, launch))
            if isinstance(error, TimeoutError):
                raise TooSlowError(None, timeout, waits_for) from None
            raise
        finally:
            self._room.over(request)
            if self._launching.get(key) == launch:
                del self._launching[key]

    async def stop(self, user: str, server: str, grace_seconds: int | None = None) -> None:
        """Delete a server's pod and wait until it is gone, at most its grace period and half a minute.

        Never raises: where the API does not answer, deleting goes on in the background.
        """
        key = (user, server)
        task = self._stopping[key] = self._background(self._withdraw(key, None, grace_seconds))
        task.add_done_callback(lambda done: self._stopping.pop(key) if self._stopping.get(key) is done else None)
        grace = _GRACE if grace_seconds is None else grace_seconds
        await asyncio.wait({task}, timeout=grace + 30)

    def exit_code(self, user: str, server: str) -> int | None:
        """None while a server runs or nothing is known of it; else its exit code, 0 if only its absence is known."""
        pod = self._pod((user, server))
        if pod is not None and pod.ended:
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
                return await self.view.wait_for(self._namespace(user), name, lambda pod: pod.ready or pod.ended)
        except TimeoutError:
            return None

    async def _start(self, under_way: "_Launch", granted: Granted) -> PodRecord:
        """Make the pod, again for another GPU class where that is free sooner, and wait until its server answers."""
        request, server, tell = under_way.request, under_way.server, under_way.tell
        namespace = self._namespace(request.user)
        wait = self._room.wait(request, server.answers_within, under_way.settings)
        try:
            await self.provision.prepare(request, server.user_id)
            await self._keep_secret(under_way, namespace)
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
            Progress(Phase.STARTING, f"The server runs on node {plain(ready.node)}; waiting for its first answer.", 90)
        )
        await until_answering(self.view, self.client, ready, server.url(ready.ip) + "api", server.answers_within)
        return ready

    async def _place(self, under_way: "_Launch", granted: Granted, wait: Wait) -> PodRecord:
        """Make the pod of a grant and wait until it is ready. Raises ``MovedError`` where another grant is better."""
        manifest = build_pod(granted, under_way.server, under_way.settings)
        if under_way.modify is not None:
            manifest = recheck_pod(await under_way.modify(deepcopy(manifest)), manifest, granted, under_way.settings)
        manifest["metadata"]["annotations"][LAUNCH] = under_way.id
        namespace, wake = self._namespace(granted.request.user), asyncio.Event()
        with self.events.follow(namespace, manifest["metadata"]["name"], wake.set) as follower:
            template = build_claim_template(granted, self.settings)
            if template is not None:
                await self._replace("resourceclaimtemplates", namespace, template)
            made = await self._replace("pods", namespace, manifest)
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
                    )
                finally:
                    self._pulls.note(follower.events)

    async def _replace(self, resource: str, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object in place of one of the same name that an earlier launch left."""
        name = manifest["metadata"]["name"]
        for _ in range(_REPLACEMENTS):
            try:
                return await self.client.create(resource, namespace, manifest)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
            try:
                old = await self.client.get(resource, namespace, name)
                if old["metadata"].get("labels", {}).get(HUB_LABEL) != self.settings.hub_name:
                    raise ForeignObjectError(resource, name)
                uid = old["metadata"]["uid"]
                await self.client.delete(resource, namespace, name, uid=uid)
                if resource == "pods":
                    self.view.observe(old)
                    await self.view.wait_for(namespace, name, lambda _: False, uid=uid)
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    raise
        return await self.client.create(resource, namespace, manifest)

    async def _withdraw(self, key: Key, launch: str | None, grace_seconds: int | None = None) -> None:
        """Delete the pod of one launch (None: of whichever is there) and its Secret, and end its hold.

        Tries until the API has answered: the pod may exist although its creation was never confirmed.
        """
        namespace, name = self._namespace(key[0]), pod_name(*key)
        pause, gone = _FIRST_PAUSE, False
        pod = self._pod(key)
        if pod is not None and launch not in (None, pod.annotations.get(LAUNCH)):
            pod = None  # what the API has may be newer
        while True:
            try:
                if pod is None:
                    pod = self.view.observe(await self.client.get("pods", namespace, name))
                if launch not in (None, pod.annotations.get(LAUNCH)):
                    break
                await self._delete_pod(pod, grace_seconds)
                gone = True
                break
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    if pod is None:
                        self._expect_late(launch)
                    gone = True
                    break
                logger.warning("Pod %s/%s is not deleted yet: %s", namespace, name, error)
            except UnreachableError as error:
                logger.warning("Pod %s/%s is not deleted yet: %s", namespace, name, error)
            pod = None
            await self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if key not in self._launching:
            self.ledger.release(key)
            if gone:
                await self._discard(key, namespace)

    async def _delete_pod(self, pod: PodRecord, grace_seconds: int | None) -> None:
        self._deleting.add(pod.uid)
        try:
            await self.client.delete("pods", pod.namespace, pod.name, grace_seconds=grace_seconds, uid=pod.uid)
            await self.view.wait_for(pod.namespace, pod.name, lambda _: False, uid=pod.uid)
        finally:
            self._deleting.discard(pod.uid)

    def _expect_late(self, launch: str | None) -> None:
        """A creation that was cut off may still reach the API after its pod was looked for in vain."""
        if launch is not None:
            self._never_seen[launch] = None

    async def _keep_secret(self, under_way: "_Launch", namespace: str) -> None:
        request = under_way.request
        secret = build_secret(request.user, request.server, under_way.server, self.settings)
        if secret is None:
            self._without_secret.add((request.user, request.server))
        else:
            await self._replace("secrets", namespace, secret)

    async def _discard(self, key: Key, namespace: str) -> None:
        """Delete what was made for a server's pod only, unless a new launch needs it."""
        name = pod_name(*key)
        made = () if key in self._without_secret else ("secrets",)
        for resource in (*made, "resourceclaimtemplates") if self._devices else made:
            if key in self._launching:
                return
            try:
                await self.client.delete(resource, namespace, name)
            except (ApiError, UnreachableError) as error:
                if getattr(error, "status", None) != _NOT_FOUND:
                    logger.warning("%s/%s is left behind in %s: %s", resource, name, namespace, error)

    def _pod_changed(self, pod: PodRecord, gone: bool) -> None:
        """What a pod takes counts until it has ended; an end nobody asked for is passed on and cleared away."""
        held = held_of(pod.annotations, self.settings)
        if held is None or (pod.namespace, pod.name) != (self._namespace(held.user), pod_name(*held.key)):
            return
        key = held.key
        if gone or pod.ended:
            self.ledger.pod_ended(key)
        else:
            landed = self.view.class_of(pod, self.settings.catalog, held.gpu_classes)
            classes = (landed,) if landed else held.gpu_classes
            self.ledger.pod_runs(replace(held, gpu_classes=classes, ends=pod.ends))
        launch = pod.annotations.get(LAUNCH)
        if launch is not None and launch in self._never_seen and not gone:
            del self._never_seen[launch]
            self._background(self._withdraw(key, launch))
        if key in self._launching:
            return
        if gone or pod.ended:
            self._exits[key] = pod.exit_code or (1 if pod.phase == "Failed" else 0)
            callback = self._endings.pop(key, None)
            if callback is not None:
                self._causes[key] = cause = ended(pod, ran=True)
                logger.info("%s/%s: %s", pod.namespace, pod.name, cause.reason)
                self._background(callback())
        if pod.ended and not gone and pod.uid not in self._deleting:
            self._background(self._withdraw(key, launch))

    async def _sweep(self) -> None:
        """Delete the pods and Secrets of launches that a hub before this one did not finish; tell of servers that
        ended since then."""
        await self.view.started()
        for pod in list(self.view.pods.values()):  # nodes and devices may have become known after the pods on them
            self._pod_changed(pod, gone=False)
        for key in [key for key in self._endings if self._pod(key) is None]:
            self._background(self._endings.pop(key)())
        for pod in list(self.view.pods.values()):
            held = held_of(pod.annotations, self.settings)
            if held is not None and held.key not in self._launching and not self._owned(*held.key):
                logger.warning("Nobody owns pod %s/%s: it is deleted", pod.namespace, pod.name)
                self._background(self._withdraw(held.key, pod.annotations.get(LAUNCH)))

    def _namespace(self, user: str) -> str:
        return namespace_of(user, self.settings)

    def _blind(self) -> LaunchError:
        outage = self.view.outage
        if outage is not None and outage.forbidden:
            return HubNotAllowedError("list", "pods", self.settings.namespace, outage.reason)
        return refused(UnreachableError(self.view.unreachable or "no answer yet"), self.settings.namespace)

    def _pod(self, key: Key) -> PodRecord | None:
        return self.view.pod(self._namespace(key[0]), pod_name(*key))

    def _background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("Error in the background of the launcher", exc_info=task.exception())
