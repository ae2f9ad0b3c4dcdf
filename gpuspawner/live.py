"""Availability for everybody who looks at it: computed once per change, and not at all while nobody looks."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import Any

from gpuspawner.reports.availability import AvailabilityReport

__all__ = ["LiveAvailability"]

logger = logging.getLogger(__name__)

_AT_MOST_EVERY = 1.0
_TIME_TELLS = 15.0
"""Seconds after which estimates have become others although nothing has changed."""


class LiveAvailability:
    """One for the hub: whoever listens hears of the same report.

    Parameters
    ----------
    report
        Computes what holds now for some workspaces.
    """

    def __init__(
        self,
        report: Callable[[Collection[str]], AvailabilityReport],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._report = report
        self._sleep = sleep
        self._listening: Counter[str] = Counter()
        self._listeners = 0
        self._stale = asyncio.Event()
        self._told = asyncio.Event()
        self._last: AvailabilityReport | None = None
        self._sayings: dict[frozenset[str], Mapping[str, Any]] = {}
        self._task: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Something may be free, or held, that was not, or the other way round."""
        self._stale.set()

    def now(self, workspaces: Collection[str]) -> AvailabilityReport:
        """What holds now for these workspaces."""
        return self._report(workspaces)

    async def listen(self, workspaces: Collection[str]) -> AsyncGenerator[Mapping[str, Any], None]:
        """What holds now in these workspaces, and then whatever is new of it, without end; as the API tells it."""
        workspaces = frozenset(workspaces)
        self._listening.update(workspaces)
        self._listeners += 1
        try:
            if self._task is None or self._task.done():
                self._stale.clear()
                self._task = asyncio.create_task(self._watch())
            told = self._told
            news: Mapping[str, Any] = self._report(workspaces).as_json()
            while True:
                yield news
                heard = news
                while _same(heard, news):
                    await told.wait()
                    told, news = self._told, self._said(workspaces)
        finally:
            self._listening -= Counter(workspaces)
            self._listeners -= 1
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    async def close(self) -> None:
        """Compute no more; whoever listens hears nothing new."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _said(self, workspaces: frozenset[str]) -> Mapping[str, Any]:
        """The last report, once for all who look at the same workspaces."""
        found = self._sayings.get(workspaces)
        if found is None and self._last is not None:
            found = self._sayings[workspaces] = self._last.as_json(workspaces)
        return found or {}

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TIME_TELLS):
                    await self._stale.wait()
            self._stale.clear()
            try:
                self._last = self._report(frozenset(self._listening))
            except Exception:
                logger.exception("Error while working out what is free")
            else:
                self._sayings.clear()
                told, self._told = self._told, asyncio.Event()
                told.set()
            await self._sleep(_AT_MOST_EVERY)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {**one, "at": None} == {**other, "at": None}
