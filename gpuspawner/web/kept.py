"""What costs much to work out and may be some seconds old, worked out once for all who look meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept:
    """Answers by key, each for so many seconds; those who ask for one that is being worked out wait for it.

    As many are held as there are keys, so these must be few: names of the configuration, and not what somebody sends.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._answers: dict[Hashable, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The answer, which is no older; whatever ``work`` raises is raised, and not kept."""
        known = self._answers.get(key)
        if known is None or self._monotonic() - known[0] > self._seconds:
            known = self._answers[key] = self._monotonic(), asyncio.ensure_future(work())
            known[1].add_done_callback(lambda done: self._failed(key, done))
        found: T = await asyncio.shield(known[1])
        return found

    def _failed(self, key: Hashable, done: "asyncio.Future[Any]") -> None:
        if (done.cancelled() or done.exception() is not None) and self._answers.get(key, (0, None))[1] is done:
            del self._answers[key]
