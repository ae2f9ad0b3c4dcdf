"""The launches under way: what each asks for, since when, what was told of it last; and calling one off."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.errors import LaunchError
from gpuspawner.request import LaunchRequest

__all__ = ["CalledOffError", "UnderWay", "UnderWays"]


class CalledOffError(LaunchError):
    """Somebody who steers the workspace has called a launch off."""

    code = "called_off"
    status = 409

    def __init__(self, by: str, message: str = "") -> None:
        said = f"{by} called the launch off: “{message}”" if message else f"{by} called the launch off."
        super().__init__(said, "Ask them before you start it again.")


@dataclass(slots=True)
class UnderWay:
    """A launch from its admission until it runs or has failed. ``step`` is what was told of it last."""

    request: LaunchRequest
    began: datetime
    listener: Callable[[Progress], None]
    step: Progress | None = None
    called_off: LaunchError | None = None

    def tell(self, step: Progress) -> None:
        """Say, and keep, what becomes of it."""
        self.step = step
        self.listener(step)

    @property
    def key(self) -> tuple[str, str]:
        """User name and server name."""
        return self.request.user, self.request.server

    @property
    def waits(self) -> bool:
        """Whether it has no node yet, as far as was told."""
        return self.step is None or self.step.phase in (Phase.ACCEPTED, Phase.WAITING, Phase.NODE_COMING)


class UnderWays:
    """All launches under way of a hub, the first one first."""

    def __init__(self) -> None:
        self._launches: dict[tuple[str, str], tuple[UnderWay, asyncio.Task[object] | None]] = {}

    def __iter__(self) -> Iterator[UnderWay]:
        return iter([one for one, _ in self._launches.values()])

    def __len__(self) -> int:
        return len(self._launches)

    def get(self, user: str, server: str) -> UnderWay | None:
        """That of one server; None where it is not being launched."""
        found = self._launches.get((user, server))
        return None if found is None else found[0]

    @contextlib.contextmanager
    def launching(
        self, request: LaunchRequest, now: datetime, listener: Callable[[Progress], None]
    ) -> Iterator[UnderWay]:
        """A launch, within the task that may be called off; ``listener`` hears each step of it.

        Raises
        ------
        CalledOffError
            In place of the cancelling, once it has been.
        """
        one, task = UnderWay(request, now, listener), asyncio.current_task()
        self._launches[one.key] = one, task
        try:
            yield one
        except asyncio.CancelledError:
            if one.called_off is None:
                raise
            if task is not None:
                task.uncancel()
            raise one.called_off from None
        finally:
            if self.get(*one.key) is one:
                del self._launches[one.key]

    def call_off(self, user: str, server: str, cause: LaunchError) -> bool:
        """End a launch; its member reads the cause. False where there is none, or it has been called off before."""
        one, task = self._launches.get((user, server), (None, None))
        if one is None or task is None or one.called_off is not None:
            return False
        one.called_off = cause
        task.cancel()
        return True
