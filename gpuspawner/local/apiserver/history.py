"""Versions of objects, their bounded history, and the watches that follow it."""

import asyncio
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from gpuspawner.local.apiserver.status import StatusError

__all__ = ["Change", "History", "Stored", "Watch"]


class Stored:
    """One version of one object. The object is shared: nobody changes it."""

    def __init__(self, obj: dict[str, Any]) -> None:
        self.obj = obj

    @cached_property
    def version(self) -> int:
        """The object's resourceVersion."""
        return int(self.obj["metadata"]["resourceVersion"])

    @cached_property
    def namespace(self) -> str:
        """The object's namespace; empty for cluster-scoped ones."""
        return str(self.obj["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.obj["metadata"]["name"])

    @cached_property
    def item(self) -> str:
        """The object as JSON for a list: without ``kind`` and ``apiVersion``."""
        rest = {key: value for key, value in self.obj.items() if key not in ("kind", "apiVersion")}
        return json.dumps(rest, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def text(self) -> str:
        """The whole object as JSON, ``kind`` and ``apiVersion`` first."""
        return f'{{"kind":"{self.obj["kind"]}","apiVersion":"{self.obj["apiVersion"]}",{self.item[1:]}'


class Change:
    """One step of the history: what became of an object.

    Parameters
    ----------
    type_
        ``ADDED``, ``MODIFIED`` or ``DELETED``.
    new
        The object after the change; for ``DELETED`` its last state, with the version of the deletion.
    old
        The object before the change; None for ``ADDED``.
    """

    __slots__ = ("__dict__", "new", "old", "type")

    def __init__(self, type_: str, new: Stored, old: Stored | None) -> None:
        self.type = type_
        self.new = new
        self.old = old

    @property
    def version(self) -> int:
        """The resourceVersion at which it happened."""
        return self.new.version

    @cached_property
    def line(self) -> bytes:
        """The change as a watch writes it, encoded once for all watchers."""
        return f'{{"type":"{self.type}","object":{self.new.text}}}\n'.encode()

    def seen_through(self, matches: Callable[[Stored], bool]) -> "Change | None":
        """Return the change as a watch with a selector sees it, or None where it sees nothing.

        An object that comes into the selection is ``ADDED``, one that leaves it ``DELETED``, as in a kube-apiserver.
        """
        now = self.type != "DELETED" and matches(self.new)
        before = self.old is not None and matches(self.old)
        if now and before:
            return self
        if now:
            return self if self.type == "ADDED" else Change("ADDED", self.new, None)
        if not before or self.old is None:
            return None
        if self.type == "DELETED":
            return self
        metadata = self.old.obj["metadata"] | {"resourceVersion": str(self.version)}
        return Change("DELETED", Stored(self.old.obj | {"metadata": metadata}), self.old)


class History:
    """The last changes of one resource; older ones are forgotten."""

    def __init__(self, limit: int, version: int) -> None:
        self.limit = limit
        self.oldest = version
        """A watch may start at this resourceVersion or later."""
        self.changes: list[Change] = []
        self.dropped = 0
        """How many changes were forgotten; ``dropped + index`` never changes for one change."""
        self._waiting: set[asyncio.Future[None]] = set()

    def append(self, change: Change) -> None:
        """Add a change and wake the watches."""
        self.changes.append(change)
        if len(self.changes) >= 2 * self.limit:
            self.forget(self.limit)
        self.wake()

    def wake(self) -> None:
        """Let everyone who waits look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def forget(self, keep: int = 0) -> None:
        """Drop all changes but the last ``keep``."""
        gone = len(self.changes) - keep
        if gone > 0:
            self.oldest = self.changes[gone - 1].version
            del self.changes[:gone]
            self.dropped += gone

    @property
    def end(self) -> int:
        """The position after the last change."""
        return self.dropped + len(self.changes)

    async def wait(self, position: int, timeout: float | None) -> bool:
        """Wait for a change at ``position``; False when there is none after ``timeout`` seconds or a call of `wake`."""
        if position < self.end:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return position < self.end


class Watch:
    """An iterator over changes: ``async for type, object in watch``. The objects are shared: do not change them."""

    def __init__(
        self,
        history: History,
        namespace: str | None,
        initial: list[Stored],
        position: int,
        since: int,
        current: Callable[[], int],
    ) -> None:
        self._history = history
        self._namespace = namespace
        self._initial = initial
        self._position = position
        self._last = since
        self._current = current

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> tuple[str, dict[str, Any]]:
        if self._initial:
            return "ADDED", self._initial.pop(0).obj
        while True:
            batch = await self.next_changes(limit=1)
            if batch:
                return batch[0].type, batch[0].new.obj

    def initial(self) -> list[Change]:
        """Return, once, the objects that were there when the watch began, as ``ADDED``."""
        first, self._initial = self._initial, []
        return [Change("ADDED", stored, None) for stored in first]

    def seen_version(self) -> int:
        """Return a version up to which this watch has missed nothing: the latest when it is not behind."""
        if self._position >= self._history.end:
            return max(self._last, self._current())
        return self._last

    async def next_changes(self, timeout: float | None = None, limit: int = 500) -> list[Change]:
        """Return the next changes of the namespace in order, waiting for one at most ``timeout`` seconds.

        An empty list means that nothing happened in this namespace yet. Raises StatusError 410 when the
        history went on without this watch for too long.
        """
        if self._initial:
            return self.initial()
        if not await self._history.wait(self._position, timeout):
            return []
        start = self._position - self._history.dropped
        if start < 0:
            raise StatusError.expired(self._last, self._history.oldest)
        batch = self._history.changes[start : start + limit]
        self._position += len(batch)
        self._last = batch[-1].version
        if self._namespace is None:
            return batch
        return [change for change in batch if change.new.namespace == self._namespace]
