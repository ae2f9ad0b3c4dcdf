"""What is written while the database, or the cluster, is away: tried again, in its order, until it succeeds."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from gpuspawner.cluster.wire import ApiError, UnreachableError
from gpuspawner.ledger.errors import StoreUnavailableError

__all__ = ["Background", "Writes", "patiently"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Write = Callable[[], Awaitable[object]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_NOT_FOUND, _CONFLICT = 404, 409


class Background:
    """Work that nobody waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin; needs a running loop. An error is told in the log."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def done(self) -> None:
        """Wait until nothing is left of it."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Give up what is not finished."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("Error in the background of the ledger", exc_info=task.exception())


class Writes:
    """A queue of writes to the ledger, each of which may be repeated.

    They are done one after the other. While the database is away the first one is tried again, at longer and longer
    pauses of 30 s at most. One that fails for another reason is told in the log and passed over, so that it does not
    keep back those behind it.
    """

    def __init__(self, sleep: Sleep) -> None:
        self.outage: StoreUnavailableError | None = None
        """Why the database does not take the first one; None while it does."""
        self._sleep = sleep
        self._queue: deque[Write] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._worker = Background()

    def __len__(self) -> int:
        return len(self._queue)

    def begin(self) -> None:
        """Begin to write; needs a running loop."""
        self._worker.begin(self._work())

    def add(self, write: Write) -> None:
        """Write this after all that was added before."""
        self._queue.append(write)
        self._more.set()

    async def done(self) -> None:
        """Wait until all is written."""
        while self._queue:
            self._idle.clear()
            await self._idle.wait()

    async def close(self, patience: float) -> None:
        """Write for so many seconds at most, and no more."""
        try:
            async with asyncio.timeout(patience):
                await self.done()
        except TimeoutError:
            logger.warning("%s writes to the ledger are left to the next start, by the pods", len(self._queue))
        await self._worker.close()

    async def _work(self) -> None:
        while True:
            while self._queue:
                await self._insist(self._queue[0])
                self._queue.popleft()
            self._idle.set()
            self._more.clear()
            await self._more.wait()

    async def _insist(self, write: Write) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await write()
            except StoreUnavailableError as error:
                if self.outage is None:
                    logger.warning(
                        "The ledger does not answer, what it is to note waits: %s %s", error.reason, error.detail
                    )
                self.outage = error
                await self._sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            except Exception:
                logger.exception("A write to the ledger has failed and is passed over")
            if self.outage is not None:
                logger.warning("The ledger answers again")
                self.outage = None
            return


async def patiently(ask: Callable[[], Awaitable[T]], sleep: Sleep, what: str) -> T | None:
    """Ask Kubernetes until it answers; None where what is meant is gone, or another one is in its place.

    A refusal, as of a right that the hub lacks, is told in the log and tried again, since whoever is told may mend it.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return await ask()
        except UnreachableError as error:
            logger.warning("%s: %s", what, error)
        except ApiError as error:
            if error.status in (_NOT_FOUND, _CONFLICT):
                return None
            logger.error("%s: %s", what, error)
            pause = _LONGEST_PAUSE
        await sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
