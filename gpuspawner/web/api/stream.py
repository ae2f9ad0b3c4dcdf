"""Event streams of the REST API: who listens is kept up to date, and noticed when they leave."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from tornado.iostream import StreamClosedError

from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import EVENTS

__all__ = ["StreamHandler", "event"]

T = TypeVar("T")

_KEEP_ALIVE = 8.0
_LONGEST_STREAM = 30 * 60.0
"""Seconds; who listens comes back by itself, and then has to be logged in still."""


def event(data: Any, *, key: str = "", name: str = "") -> str:
    """A server-sent event with JSON as its data; without a ``name`` it is a ``message``. ``key`` is its id."""
    lines = [f"id: {key}"] * bool(key) + [f"event: {name}"] * bool(name)
    return "\n".join([*lines, f"data: {json.dumps(data)}", "", ""])


class StreamHandler(ApiHandler):
    """A handler that answers ``Accept: text/event-stream`` by :meth:`stream`, and anything else by JSON."""

    def initialize(self) -> None:
        """Overrides JupyterHub's."""
        super().initialize()
        self._left = asyncio.Event()

    def on_connection_close(self) -> None:
        """Whoever listened has left."""
        self._left.set()
        super().on_connection_close()

    @property
    def wants_stream(self) -> bool:
        """Whether whoever asks listens for events."""
        return EVENTS in self.request.headers.get("Accept", "")

    async def stream(self, news: AsyncGenerator[T, None], say: Callable[[T], str]) -> None:
        """Pass on what ``news`` yields, as ``say`` says it, until whoever listens leaves or has listened for long.

        What ``say`` says as nothing is left out. ``news`` is closed.
        """
        self.set_header("Content-Type", EVENTS)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")
        with suppress(StreamClosedError, TimeoutError):
            async with asyncio.timeout(_LONGEST_STREAM), aclosing(news):
                await self._pass_on(news, say)

    async def _pass_on(self, news: AsyncGenerator[T, None], say: Callable[[T], str]) -> None:
        await self._send(": hello\nretry: 5000\n\n")
        left: asyncio.Future[Any] = asyncio.ensure_future(self._left.wait())
        coming: asyncio.Future[Any] | None = None
        try:
            while not left.done():
                coming = coming or asyncio.ensure_future(anext(news))
                await asyncio.wait({coming, left}, timeout=_KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    await self._send(say(coming.result()))
                    coming = None
                elif not left.done():
                    await self._send(":\n\n")
        finally:
            left.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    async def _send(self, text: str) -> None:
        if text:
            self.write(text)
            await self.flush()
