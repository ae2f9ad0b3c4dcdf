"""What a member does with their own servers on the home page, by forms that work without JavaScript."""

import asyncio
import re
from typing import Any
from urllib.parse import urlencode

from jupyterhub import version_info

from gpuspawner.errors import LaunchError
from gpuspawner.schema import read_seconds
from gpuspawner.web.asking import BadBodyError, NotFoundError
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.sessions import extend_server

__all__ = ["DeletePage", "ExtendPage", "NewServerPage", "StopPage", "slug"]

_PATIENCE = 2.0
"""Seconds for which a page waits for what it has begun."""
_LONGEST_NAME = 30
"""As JupyterHub 6 bounds the names of servers."""
_DISPLAY_NAMES = (6,)
"""The JupyterHub from which on a named server has a name for people, too."""


class _OwnServerPage(PageHandler):
    """A form about one of one's own servers."""

    def own(self, user_name: str, server_name: str | None) -> tuple[Any, str]:
        """Whoever asks, and which of their servers. Raises ``NotFoundError`` for those of others."""
        if not self.is_self(user_name):
            raise NotFoundError("You have no such server.", "See your servers on the home page.")
        return self.current_user, server_name or ""

    def home(self, sentence: str = "", *, kind: str = "success", remedy: str = "") -> None:
        """Back to the home page."""
        self.back(self.url("home"), sentence, kind=kind, remedy=remedy)


class ExtendPage(_OwnServerPage):
    """The buttons by which a server gets more time."""

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        """Extend it by ``by``, a duration; that it was extended is a notice on every page."""
        user, server = self.own(user_name, server_name)
        try:
            seconds = read_seconds(self.get_body_argument("by", "1h"))
        except ValueError:
            raise BadBodyError("The server was not extended: by must be a duration.", "Write it like 1h.") from None
        try:
            await extend_server(user, server, seconds, by=user.name)
        except LaunchError as error:
            self.home(f"Not extended: {error.reason}", kind="warning", remedy=error.remedy)
            return
        self.home()


class StopPage(_OwnServerPage):
    """The button that stops a server, or cancels its launch."""

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        """Stop it; where that takes long, the home page shows that it is stopping."""
        user, server = self.own(user_name, server_name)
        spawner = user.spawners[server] if server in user.orm_spawners else None
        if spawner is None or not spawner.active:
            self.home("The server does not run.", kind="info")
            return
        starting = spawner._spawn_future if spawner.pending == "spawn" else None
        if starting is not None:
            starting.cancel()
            await asyncio.wait({starting}, timeout=_PATIENCE)
        if spawner.active and not spawner.pending:
            stopping = asyncio.ensure_future(self.stop_single_user(user, server))
            stopping.add_done_callback(self._stopped)
            await asyncio.wait({stopping}, timeout=_PATIENCE)
        if spawner.active:
            self.home("The server is stopping.", kind="info")
        else:
            self.home("The launch was cancelled." if starting is not None else "The server has stopped.")

    def _stopped(self, task: "asyncio.Future[Any]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.log.error("A server did not stop", exc_info=task.exception())


class DeletePage(_OwnServerPage):
    """The button that forgets a named server which does not run, with what was kept for it alone."""

    async def post(self, user_name: str, server_name: str) -> None:
        """Delete it as JupyterHub's API does."""
        user, server = self.own(user_name, server_name)
        if not server or server not in user.orm_spawners:
            raise NotFoundError("You have no such server.", "See your servers on the home page.")
        spawner = user.spawners[server]
        if spawner.active:
            self.home("The server runs, so it was not deleted.", kind="warning", remedy="Stop it first.")
            return
        title = getattr(spawner.orm_spawner, "display_name", "") or server
        await user._delete_spawner(spawner)
        self.db.delete(spawner.orm_spawner)
        user.spawners.pop(server, None)
        self.db.commit()
        self.home(f"The server {title} is deleted.")


class NewServerPage(PageHandler):
    """The form that names another server, and leads to the launch form for it."""

    async def post(self) -> None:
        """JupyterHub itself checks whether there may be one more."""
        user = self.current_user
        title = " ".join(self.get_body_argument("name", "").split())
        name = slug(title)
        if not name:
            self.back(self.url("home"), "A server needs a name.", kind="warning", remedy="Give it one, such as thesis.")
        elif name in user.orm_spawners:
            remedy = "Start it below, or choose another name."
            self.back(self.url("home"), f"You have a server {name} already.", kind="info", remedy=remedy)
        else:
            more = f"?{urlencode({'display_name': title})}" if title != name and version_info >= _DISPLAY_NAMES else ""
            self.redirect(self.url("spawn", user.name, name) + more, status=303)


def slug(title: str) -> str:
    """A name for a server as JupyterHub 6 wants them: lowercase letters, digits and single hyphens, a letter first."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if words and not words[0].isalpha():
        words = f"s-{words}"
    return words[:_LONGEST_NAME].strip("-")
