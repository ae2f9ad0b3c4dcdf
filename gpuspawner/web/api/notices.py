"""The notices of whoever asks, as a list or as an event stream that a page or a notebook can show."""

import asyncio
import json
from contextlib import aclosing, suppress
from typing import Any, ClassVar

from jupyterhub.user import User
from tornado.iostream import StreamClosedError

from gpuspawner.sessions.notices import Notice, Withdrawn
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler, ForbiddenError, UnavailableError
from gpuspawner.web.api.operations import EVENTS, JSON, OWN, Answer, Operation, Operations
from gpuspawner.web.sessions import sessions_of

__all__ = ["NoticesHandler"]

_KEEP_ALIVE = 8.0
_LONGEST_STREAM = 30 * 60.0
"""Seconds; who listens comes back by itself, and then has to be logged in still."""


class Told(Answer):
    """The notices that hold now, oldest first."""

    notices: list[answers.Notice]


class NoticesHandler(ApiHandler):
    """``GET /notices``: with ``Accept: text/event-stream`` as server-sent events, else what holds now.

    A notice is an event without a name, whose ``id`` a client sends back as ``Last-Event-ID``; one that no longer holds
    is an event ``withdrawn`` with ``{"id"}``.
    """

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What you should know of your servers and budgets.",
            description="With `Accept: text/event-stream` as server-sent events without end: a notice is an event "
            "without a name, whose `id` is sent back as `Last-Event-ID`; one that no longer holds is an event "
            '`withdrawn` with `{"id"}`.',
            scopes=OWN,
            answer=Told,
            errors=(503,),
            media=(JSON, EVENTS),
        )
    }

    def initialize(self) -> None:
        """Overrides JupyterHub's."""
        super().initialize()
        self._left = asyncio.Event()

    def on_connection_close(self) -> None:
        """Whoever listened has left."""
        self._left.set()
        super().on_connection_close()

    async def get(self) -> None:
        """The notices of whoever asks."""
        user = self.current_user
        if not isinstance(user, User):
            raise ForbiddenError("Only users have notices.", "Ask with the token of a user, or of a server.")
        if not any(self.has_scope(f"{scope}!user={user.name}") for scope in ("users:activity", "read:servers")):
            raise ForbiddenError(
                "This token may not read its user's notices.", f"It takes the scope read:servers!user={user.name}."
            )
        sessions = sessions_of(user)
        if sessions is None:
            raise UnavailableError("This hub has no GPU spawner.")
        if EVENTS not in self.request.headers.get("Accept", ""):
            self.answer({"notices": [notice.as_json() for notice in sessions.notices.of(user.name)]})
            return
        self.set_header("Content-Type", EVENTS)
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")
        with suppress(StreamClosedError, TimeoutError):
            async with (
                asyncio.timeout(_LONGEST_STREAM),
                aclosing(sessions.notices.listen(user.name, self.request.headers.get("Last-Event-ID", ""))) as heard,
            ):
                await self._pass_on(heard)

    async def _pass_on(self, heard: Any) -> None:
        await self._send(": notices\nretry: 5000\n\n")
        left = asyncio.ensure_future(self._left.wait())
        coming: asyncio.Future[Notice | Withdrawn] | None = None
        try:
            while not left.done():
                coming = coming or asyncio.ensure_future(anext(heard))
                await asyncio.wait({coming, left}, timeout=_KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    await self._send(_event(coming.result()))
                    coming = None
                elif not left.done():
                    await self._send(":\n\n")
        finally:
            left.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()


def _event(what: Notice | Withdrawn) -> str:
    if isinstance(what, Withdrawn):
        return f"event: withdrawn\ndata: {json.dumps({'id': what.id})}\n\n"
    return f"id: {what.id}\ndata: {json.dumps(what.as_json())}\n\n"
