"""One list and one watch of one kind, kept going for as long as the hub lives."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gpuspawner.errors import ConfigurationError

from .client import Client
from .wire import ApiError, GarbledError, Raw, StaleError, StreamError, UnreachableError

__all__ = ["Key", "Outage", "Timing", "Watch", "key_of", "loop_time"]

logger = logging.getLogger(__name__)

_LONGEST_RETRY_AFTER = 300.0


def loop_time() -> float:
    """Seconds on the clock of the running event loop, by which all its timers go."""
    return asyncio.get_running_loop().time()


Key = tuple[str, str]
"""Namespace and name; the namespace of a cluster-wide kind is empty."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Why and since when (on the watch's monotonic clock, in seconds) the API gives nothing."""

    since: float
    reason: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a watch's life.

    A server ends a watch after ``lifetime`` (shortened by up to a fifth at random, so that the watches of many hubs do
    not return together). kube-apiserver sends a bookmark every 60 to 75 s, so a connection silent for ``silence`` is
    taken for half-open and renewed; if the renewed one is silent as well, a list tells what it kept back. Pauses
    double from ``first_pause`` to ``longest_pause``, each cut at random by up to a half; there is no last attempt. A
    refusal of rights is looked at again every ``forbidden_pause``.
    """

    lifetime: int = 300
    silence: float = 90.0
    first_pause: float = 0.25
    longest_pause: float = 10.0
    forbidden_pause: float = 120.0


class Watch:
    """Calls back for every object of a kind as it comes, changes and goes.

    ``on_upsert(raw)`` for a new or changed object, ``on_delete(key, raw)`` with its last state where the server sent
    one (None after a relist), ``on_sync()`` after each complete list. After 410 the list is fetched again and compared
    by resourceVersion: unchanged objects are not reported. Unknown event types are passed over. ``on_outage()`` when
    :attr:`outage` has begun or ended.

    Parameters
    ----------
    namespace
        Where to look; None is the whole cluster.
    fallback_namespace
        Where to look instead if the whole cluster is refused with 403.
    """

    def __init__(
        self,
        client: Client,
        resource: str,
        *,
        on_upsert: Callable[[Raw], None],
        on_delete: Callable[[Key, Raw | None], None],
        on_sync: Callable[[], None] = lambda: None,
        on_outage: Callable[[], None] = lambda: None,
        namespace: str | None = None,
        fallback_namespace: str | None = None,
        page_size: int = 250,
        timing: Timing | None = None,
        clock: Callable[[], float] = loop_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.outage: Outage | None = None
        """Set while the API does not answer, refuses, or has not yet been reached again."""
        self.lists = 0
        """How many complete lists were fetched: one, unless the server forgot the history."""
        self.renewals = 0
        """How many watches were given up because nothing was heard of them."""
        self.interruptions = 0
        """How many times it broke off with an error, be it only for a moment."""
        self._client = client
        self._on_upsert = on_upsert
        self._on_delete = on_delete
        self._on_sync = on_sync
        self._on_outage = on_outage
        self._fallback = fallback_namespace
        self._page_size = page_size
        self._timing = timing or Timing()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._version: str | None = None
        self._known: dict[Key, str] = {}
        self._failures = 0
        self._barren = 0
        self._expired = 0
        self._stale = 0
        self._heard: float | None = None
        self._failing_since: float | None = None
        self._hurried = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def synced(self) -> bool:
        """Whether a complete list has been seen since the start; what it told is kept through outages."""
        return self.lists > 0

    @property
    def version(self) -> str | None:
        """The resourceVersion the next watch begins at."""
        return self._version

    @property
    def silent_for(self) -> float:
        """Seconds since the API last told something of this kind, bookmarks included: what a stale watch shows by."""
        return 0.0 if self._heard is None else max(0.0, self._clock() - self._heard)

    def knows(self, key: Key) -> bool:
        """Whether the API has told of an object and not yet of its end."""
        return key in self._known

    def start(self) -> None:
        """Begin, in a task of its own."""
        if self._task is None:
            self._task = asyncio.create_task(self.run(), name=f"watch-{self.resource}")

    def hurry(self) -> None:
        """Cut a pause short, unless the server itself has asked for it."""
        self._hurried.set()

    async def close(self) -> None:
        """Stop and wait until it has."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settled(self) -> None:
        """Wait for the first complete list, or for the answer that the hub may not have one."""
        await self._settled.wait()

    async def run(self) -> None:
        """List and watch for ever."""
        self._heard = self._clock()
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._follow()
            except ApiError as error:
                await self._refused(error)
            except (UnreachableError, ConfigurationError) as error:
                if isinstance(error, GarbledError):
                    self._gave_nothing()
                elif isinstance(error, StaleError):
                    self._went_silent(error)
                await self._pause(str(error))
            except Exception:  # a watch that died would leave the hub with a frozen view
                logger.exception("The watch of %s met an error of its own and lists again", self.resource)
                self._version = None
                await self._pause("an error in the hub, see its log")

    async def _list(self) -> None:
        seen: dict[Key, str] = {}
        version = ""
        async for page in self._client.pages(self.resource, self.namespace, limit=self._page_size):
            version = str((page.get("metadata") or {}).get("resourceVersion") or "")
            for raw in page.get("items") or ():
                key = key_of(raw)
                seen[key] = _version_of(raw)
                if not seen[key] or self._known.get(key) != seen[key]:
                    self._known[key] = seen[key]
                    self._tell(self._on_upsert, raw)
        for key in [key for key in self._known if key not in seen]:
            self._tell(self._on_delete, key, None)
        self._known = seen
        self._version = version
        self.lists += 1
        self._failures = self._barren = self._stale = 0
        self._heard = self._clock()
        self._reached()
        self._settled.set()
        self._tell(self._on_sync)

    async def _follow(self) -> None:
        """One watch, until the server ends it; then the caller comes back for the next."""
        opened: list[float] = []
        fruitful = False

        def granted() -> None:
            opened.append(self._clock())
            self._reached()

        frames = self._client.watch(
            self.resource,
            self.namespace,
            resource_version=self._version,
            timeout_seconds=round(self._timing.lifetime * (1 - 0.2 * self._chance())),
            read_timeout=self._timing.silence,
            on_open=granted,
        )
        try:
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    self._apply(frame)
                    fruitful = True
        finally:
            lasted = bool(opened) and self._clock() - opened[0] > self._timing.longest_pause
            if fruitful or lasted:
                self._barren = self._expired = 0
            if lasted:
                self._failures = 0
        if not fruitful and not lasted:
            # A server whose history was reset below our version ends every watch at once, without a word.
            self._gave_nothing()
            await self._pause("watches end at once")

    def _apply(self, frame: Raw) -> None:
        self._heard, self._stale = self._clock(), 0
        raw, kind = frame["object"], frame.get("type")
        version, key = _version_of(raw), key_of(raw)
        if kind in ("ADDED", "MODIFIED") and key[1]:
            self._known[key] = version
            self._tell(self._on_upsert, raw)
        elif kind == "DELETED" and key[1]:
            self._known.pop(key, None)
            self._tell(self._on_delete, key, raw)
        elif kind != "BOOKMARK":
            logger.debug("The watch of %s passed over an event of type %r", self.resource, kind)
            return
        self._version = version or self._version

    async def _refused(self, error: ApiError) -> None:
        if error.gone:
            logger.info("The history of %s is gone (%s): listing again", self.resource, error.message)
            self._version = None
            self._expired += 1
            if self._expired > 1:
                self._failures = max(self._failures, self._expired - 2)
                await self._pause(error.message)
        elif error.status == 403 and self.namespace is None and self._fallback is not None:
            logger.info("No right to read %s of the whole cluster: %s", self.resource, error.message)
            self.namespace, self._version = self._fallback, None
        elif error.status == 403:
            self._settled.set()
            await self._pause(error.message or error.reason, forbidden=True, at_least=self._timing.forbidden_pause)
        else:
            if isinstance(error, StreamError) or "resource version" in error.message.lower():
                self._gave_nothing()
            await self._pause(f"{error.status} {error.message or error.reason}".strip(), at_least=error.retry_after)

    def _gave_nothing(self) -> None:
        """Note a watch that was granted and useless; after three in a row the version must be what it stumbles on."""
        self._barren += 1
        if self._barren >= 3:
            self._version, self._barren = None, 0

    def _went_silent(self, error: StaleError) -> None:
        self.renewals += 1
        self._stale += 1
        logger.warning("The watch of %s is stale and renewed: %s", self.resource, error)
        if self._stale > 1:
            self._version = None

    async def _pause(self, reason: str, *, forbidden: bool = False, at_least: float | None = None) -> None:
        self._failures += 1
        self.interruptions += 1
        if self._failing_since is None:
            self._failing_since = self._clock()
        if forbidden or self._failures > 1 or not self.synced:
            begins = self.outage is None
            self.outage = Outage(self._failing_since, reason, forbidden)
            if begins:
                logger.warning("The watch of %s is interrupted: %s", self.resource, reason)
                self._tell(self._on_outage)
        doubled: float = self._timing.first_pause * 2 ** min(self._failures - 1, 20)
        pause = min(self._timing.longest_pause, doubled) * (1 - 0.5 * self._chance())
        if at_least:
            await self._sleep(max(pause, min(at_least, _LONGEST_RETRY_AFTER)))
        else:
            await self._sleep_unless_hurried(pause)

    async def _sleep_unless_hurried(self, seconds: float) -> None:
        self._hurried.clear()
        ways = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._hurried.wait())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    def _reached(self) -> None:
        outage, self.outage, self._failing_since = self.outage, None, None
        if outage is not None:
            logger.info("The watch of %s is back after %.1f s", self.resource, self._clock() - outage.since)
            self._tell(self._on_outage)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        try:
            callback(*args)
        except Exception:  # one object that a listener cannot take must not stop the others
            logger.exception("A listener of the watch of %s failed", self.resource)


def key_of(raw: Raw) -> Key:
    """Namespace and name of an object; whatever is missing is empty."""
    metadata = raw.get("metadata") or {}
    return (metadata.get("namespace") or "", metadata.get("name") or "")


def _version_of(raw: Raw) -> str:
    return str((raw.get("metadata") or {}).get("resourceVersion") or "")
