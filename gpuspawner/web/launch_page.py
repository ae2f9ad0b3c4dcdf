"""The launch form of one login, as things stand, with what was chosen by a link or the last time."""

from collections.abc import Mapping
from typing import Any

from tornado.web import HTTPError

from gpuspawner.authenticator import current_workspaces
from gpuspawner.budgets.quote import Costs, costs_of
from gpuspawner.errors import LaunchError
from gpuspawner.recent import Recent
from gpuspawner.web.entitled import offers_to
from gpuspawner.web.form import render_form
from gpuspawner.web.options import linked, posted

__all__ = ["launch_form", "note_choice"]

_FIRST_SYNC = 5.0
_CHOICES = "gpuspawner_choices"


async def launch_form(spawner: Any) -> str:
    """The content of JupyterHub's ``#spawn_form`` for the user of a ``GPUSpawner``."""
    launcher, user = spawner.launcher, spawner.user
    await launcher.synced(_FIRST_SYNC)
    refused, link = posted(), linked()
    server = refused.server if refused else spawner.name
    try:
        settings = await spawner.my_settings()
    except LaunchError as error:
        raise HTTPError(500, "%s", error.sentence) from None
    now = launcher.now()
    workspaces = current_workspaces(user, now)
    known = await launcher.books.ready()
    offers = await offers_to(user.name, workspaces, settings, launcher, now, server=server)
    return render_form(
        offers,
        initial=refused.options if refused else link or spawner.user_options or _last_choice(user),
        link=None if refused or link is None else await _objection(spawner, link),
        base_url=spawner.hub.base_url,
        server=server,
        costs=costs_of(user.name, workspaces, settings, launcher.accounts, now) if known else Costs(),
    )


async def _objection(spawner: Any, options: Mapping[str, Any]) -> str:
    """Why what a link asks for cannot be had as it is; empty where it can, as far as names and ranges go."""
    try:
        await spawner.request_for(options)
    except LaunchError as error:
        return f"{error.reason} {error.remedy}".rstrip()
    return ""


def note_choice(user: Any, options: Mapping[str, Any]) -> None:
    """A JupyterHub user has launched with these options, or tried to: kept in memory, as a launch that fails leaves
    none with its server."""
    choices: Recent[str, Mapping[str, Any]] = user.settings.setdefault(_CHOICES, Recent())
    choices[user.name] = dict(options)
    choices.move_to_end(user.name)


def _last_choice(user: Any) -> Mapping[str, Any]:
    """The options of their last launch; after a restart of the hub, those of the server that was used last."""
    known: Mapping[str, Mapping[str, Any]] = user.settings.get(_CHOICES, {})
    if user.name in known:
        return known[user.name]
    servers = [server for server in user.orm_user.orm_spawners.values() if server.user_options and server.last_activity]
    last = max(servers, key=lambda server: server.last_activity, default=None)
    return {} if last is None else dict(last.user_options)
