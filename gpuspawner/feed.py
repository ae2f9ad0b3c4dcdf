"""The sentences of one launch under way, for everybody who listens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from gpuspawner.cluster.events import Progress

__all__ = ["Feed"]


_KEPT = 200


class Feed:
    """The sentences of one launch: whoever listens hears all of them, from the first, however late they come.

    Of a launch that waits for days only the last 200 are kept.
    """

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self._steps: deque[Progress] = deque(maxlen=_KEPT)
        self._told = 0
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, step: Progress) -> None:
        """Say the next sentence, unless it is the one said last; the percentage never goes back."""
        if self._steps and self._steps[-1].message == step.message:
            return
        self._steps.append(step if self._clock is None else step._replace(at=self._clock()))
        self._told += 1
        self._wake()

    @property
    def so_far(self) -> tuple[Progress, ...]:
        """What has been said and is still kept."""
        return tuple(self._steps)

    def close(self) -> None:
        """Nothing more will be said."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Progress]:
        said, percent = 0, 0
        while True:
            changed = self._changed
            while said < self._told:
                said = max(said, self._told - len(self._steps))
                step = self._steps[said - self._told]
                said += 1
                percent = max(percent, step.percent)
                yield step if step.percent == percent else step._replace(percent=percent)
            if self._closed:
                return
            if changed is self._changed:
                await changed.wait()
