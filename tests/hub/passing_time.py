"""Time that a test lets pass: every timer of the event loop goes by it, JupyterHub's and aiohttp's as well as ours."""

import asyncio
from collections.abc import Callable

_PATIENCE = 30.0


class PassingTime:
    """The clock of an event loop, with hours to add. It never goes back, also not when a test is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real: Callable[[], float] = loop.time
        self.passed = 0.0
        loop.time = lambda: self._real() + self.passed  # type: ignore[method-assign]

    async def pass_(self, seconds: float, step: float = 1.0) -> None:
        """Let so many seconds pass, a few at a time, so that what is due happens in its order."""
        until = self.passed + seconds
        while self.passed < until:
            self.passed += min(step, until - self.passed)
            await asyncio.sleep(0.002)

    async def pass_until(self, condition: Callable[[], object], within: float) -> float:
        """Let time pass until the condition holds, and fail if it takes longer; returns how long it took."""
        began = self.passed
        while not condition():
            assert self.passed - began < within, f"not within {within:g} s"
            self.passed += 0.5
            await asyncio.sleep(0.01)
        return self.passed - began
