"""The sentences of one launch under way, for everybody who listens."""

import asyncio
from collections.abc import AsyncIterator

from gpuspawner.cluster.events import Progress

__all__ = ["Feed"]


class Feed:
    """The sentences of one launch: whoever listens hears all of them, from the first, however late they come."""

    def __init__(self) -> None:
        self._steps: list[Progress] = []
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, step: Progress) -> None:
        """Say the next sentence, unless it is the one said last; the percentage never goes back."""
        if self._steps and self._steps[-1].message == step.message:
            return
        self._steps.append(step)
        self._wake()

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
            for step in self._steps[said:]:
                percent = max(percent, step.percent)
                yield step if step.percent == percent else step._replace(percent=percent)
            said = len(self._steps)
            if self._closed:
                return
            if changed is self._changed:
                await changed.wait()
