"""Events of the pods that are starting, from one watch per namespace that is open only while somebody starts.

Why one shared watch and not one per pod: kube-apiserver keeps no cache of events, so every event watch is a watch of
etcd whose filter runs for each event of the cluster, and every list reads them all. With thirty launches at once
that is thirty watches and thirty more requests; shared, it is one list of a single object (for the version to start
from: the thousands of events that are there already are never read) and one watch. Events of other pods are dropped
as they come, and nothing is kept for a pod once its launch is over.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator

from gpuspawner.errors import ConfigurationError
from gpuspawner.recent import Recent

from .client import Client
from .events import EventRecord, event_record
from .wire import ApiError, Raw, UnreachableError

__all__ = ["EventFeed", "Follower"]

logger = logging.getLogger(__name__)

_KEPT = 50
_LIFETIME = 300
_LONGEST_PAUSE = 30.0


class Follower:
    """The events of one pod, from when it was followed; ``events`` is the latest state of each."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._events: Recent[str, EventRecord] = Recent(_KEPT)
        self._changed = changed

    @property
    def events(self) -> tuple[EventRecord, ...]:
        """What has happened, the latest last; at most 50."""
        return tuple(self._events.values())

    def add(self, event: EventRecord) -> None:
        """Take in an event, or a repetition of one."""
        self._events.pop(event.name, None)
        self._events[event.name] = event
        self._changed()


class EventFeed:
    """Hands the events of followed pods to their followers.

    An API that refuses or does not answer costs a launch its finer progress, never the launch: the watch is tried
    again for as long as somebody follows. ``linger`` is how many seconds it stays open after the last launch.
    """

    def __init__(
        self,
        client: Client,
        *,
        linger: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._linger = linger
        self._sleep = sleep
        self._chance = chance
        self._followers: dict[str, dict[str, list[Follower]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closings: dict[str, asyncio.Task[None]] = {}

    @contextlib.contextmanager
    def follow(self, namespace: str, name: str, changed: Callable[[], None] = lambda: None) -> Iterator[Follower]:
        """Follow a pod, best from before it is created; ``changed()`` is called at each event."""
        follower = Follower(changed)
        self._followers.setdefault(namespace, {}).setdefault(name, []).append(follower)
        closing = self._closings.pop(namespace, None)
        if closing is not None:
            closing.cancel()
        task = self._tasks.get(namespace)
        if task is None or task.done():
            self._tasks[namespace] = asyncio.create_task(self._run(namespace), name=f"events-{namespace}")
        try:
            yield follower
        finally:
            pods = self._followers[namespace]
            pods[name].remove(follower)
            if not pods[name]:
                del pods[name]
            if not pods:
                del self._followers[namespace]
                self._closings[namespace] = asyncio.create_task(self._close_later(namespace))

    @property
    def open(self) -> int:
        """How many watches are open."""
        return len(self._tasks)

    async def close(self) -> None:
        """End every watch."""
        tasks = [*self._tasks.values(), *self._closings.values()]
        self._tasks.clear()
        self._closings.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_later(self, namespace: str) -> None:
        await self._sleep(self._linger)
        self._closings.pop(namespace, None)
        task = self._tasks.pop(namespace, None)
        if task is not None:
            task.cancel()

    async def _run(self, namespace: str) -> None:
        version, failures = None, 0
        while True:
            try:
                if version is None:
                    listed = await self._client.list("events", namespace, limit=1)
                    version = str((listed.get("metadata") or {}).get("resourceVersion") or "")
                barren = True
                async for frame in self._client.watch(
                    "events", namespace, resource_version=version, timeout_seconds=_LIFETIME
                ):
                    version = self._take(namespace, frame) or version
                    failures, barren = 0, False
                pause = 1.0
                if barren:  # not even a bookmark in all its life: the server's history is not the one of our version
                    version = None
            except (ApiError, UnreachableError, ConfigurationError) as error:
                if isinstance(error, ApiError) and error.gone:
                    version = None
                failures += 1
                retry_after = error.retry_after if isinstance(error, ApiError) else None
                pause = max(min(_LONGEST_PAUSE, 0.5 * 2 ** min(failures, 10)), retry_after or 0.0)
                logger.info("The watch of events in %s is interrupted: %s", namespace, error)
            except Exception:  # whatever it was, the next launch wants its events
                logger.exception("The watch of events in %s met an error of its own", namespace)
                version, pause = None, _LONGEST_PAUSE
            await self._sleep(pause * (1 - 0.5 * self._chance()))

    def _take(self, namespace: str, frame: Raw) -> str:
        raw = frame["object"]
        involved = raw.get("involvedObject") or {}
        if frame.get("type") in ("ADDED", "MODIFIED") and involved.get("kind") == "Pod":
            followers = self._followers.get(namespace, {}).get(involved.get("name") or "")
            for follower in followers or ():
                follower.add(event_record(raw))
        return str((raw.get("metadata") or {}).get("resourceVersion") or "")
