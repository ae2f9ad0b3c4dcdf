"""What members are told of their running servers: kept for their pages, streamed to who listens, sent by a hook."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from inspect import isawaitable, iscoroutinefunction
from typing import Any
from uuid import uuid4

__all__ = ["Level", "Notice", "Notices", "Withdrawn"]

logger = logging.getLogger(__name__)

_KEPT = 50
_LISTENERS_BACKLOG = 200


class Level(StrEnum):
    """How much a notice matters; the words are Bootstrap's."""

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing a member should know.

    Attributes
    ----------
    kind
        What it is about, for programs: ``ends-soon``, ``extended``, ``ended``, ``maintenance``,
        ``budget``, ``idle``.
    user, server
        Whom it concerns, and which of their servers; ``server`` is ``""`` for the default one and for notices that
        concern none.
    about
        What else it concerns, such as a workspace.
    at
        When it was said.
    sentence
        What, why, and what next, for people; plain text.
    data
        The same for programs: numbers, names, and times as RFC 3339.
    until
        When it has become pointless; None: it stays until it is replaced or withdrawn.
    """

    kind: str
    user: str
    sentence: str
    at: datetime
    server: str = ""
    about: str = ""
    level: Level = Level.INFO
    data: Mapping[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    id: str = field(default_factory=lambda: uuid4().hex)

    def as_json(self) -> dict[str, Any]:
        """As the event stream and the API have it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "user": self.user,
            "server": self.server,
            "about": self.about,
            "at": self.at.isoformat(timespec="seconds"),
            "level": str(self.level),
            "sentence": self.sentence,
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A notice that no longer holds."""

    id: str


Hook = Callable[[Notice], Any]


class Notices:
    """The notices of the whole hub, in memory: what still holds after a restart is said again by who knows it.

    Of one kind about one server, or whatever else it is about, there is one notice, the last.

    Parameters
    ----------
    hook
        ``c.GPUSpawner.notify_hook``: called with each notice, in the background. One that is not async runs in a
        thread, so that it may take its time. Whatever it raises is logged.
    """

    def __init__(self, hook: Hook | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self._hook = hook
        self._clock = clock or (lambda: datetime.now(UTC))
        self._standing: dict[str, deque[Notice]] = {}
        self._listeners: dict[str, set[asyncio.Queue[Notice | Withdrawn]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, notice: Notice, *, quietly: bool = False) -> None:
        """Say something, in place of what was said of the same kind about the same.

        ``quietly`` leaves the hook out: for what was sent before the hub restarted.
        """
        said = notice.kind, notice.server, notice.about
        self._remove(notice.user, lambda old: (old.kind, old.server, old.about) == said)
        self._standing.setdefault(notice.user, deque(maxlen=_KEPT)).append(notice)
        self._pass_on(notice.user, notice)
        if self._hook is not None and not quietly:
            task = asyncio.get_running_loop().create_task(self._call(self._hook, notice))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def withdraw(self, user: str, server: str, kind: str | None = None, *, about: str = "") -> None:
        """What was said of a kind, or of any, about a server no longer holds."""
        gone = self._remove(user, lambda old: (old.server, old.about) == (server, about) and kind in (None, old.kind))
        for notice in gone:
            self._pass_on(user, Withdrawn(notice.id))

    def of(self, user: str) -> list[Notice]:
        """What holds for a user now, oldest first."""
        now = self._clock()
        self._remove(user, lambda old: old.until is not None and old.until <= now)
        return list(self._standing.get(user, ()))

    async def listen(self, user: str, after: str = "") -> AsyncGenerator[Notice | Withdrawn, None]:
        """What holds now and then whatever is said, without end.

        ``after`` is the id of the notice that was heard last, where a listener comes back; older ones are left out.
        """
        queue: asyncio.Queue[Notice | Withdrawn] = asyncio.Queue(_LISTENERS_BACKLOG)
        listeners = self._listeners.setdefault(user, set())
        listeners.add(queue)
        try:
            standing = self.of(user)
            heard = next((index for index, notice in enumerate(standing) if notice.id == after), -1)
            for notice in standing[heard + 1 :]:
                yield notice
            while True:
                yield await queue.get()
        finally:
            listeners.discard(queue)
            if not listeners and self._listeners.get(user) is listeners:
                del self._listeners[user]

    async def close(self) -> None:
        """Let the hook's calls under way end, for a moment."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()

    def _remove(self, user: str, which: Callable[[Notice], bool]) -> list[Notice]:
        standing = self._standing.get(user, deque())
        removed = [notice for notice in standing if which(notice)]
        for notice in removed:
            standing.remove(notice)
        if removed and not standing:
            del self._standing[user]
        return removed

    def _pass_on(self, user: str, what: Notice | Withdrawn) -> None:
        for queue in self._listeners.get(user, ()):
            if queue.full():
                queue.get_nowait()  # somebody who does not read: the newest counts
            queue.put_nowait(what)

    @staticmethod
    async def _call(hook: Hook, notice: Notice) -> None:
        try:
            answer: Awaitable[Any] | Any
            answer = hook(notice) if iscoroutinefunction(hook) else await asyncio.to_thread(hook, notice)
            if isawaitable(answer):
                await answer
        except Exception:
            logger.exception("Error in c.GPUSpawner.notify_hook for the notice %r to %s", notice.kind, notice.user)
