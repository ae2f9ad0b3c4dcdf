"""A member's servers as the home page shows them: running, starting, stopping, and stopped, with why they ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from jupyterhub.utils import url_path_join

from gpuspawner.authenticator import current_workspaces
from gpuspawner.ending import Ending
from gpuspawner.errors import LaunchError
from gpuspawner.limits.trace import say_time
from gpuspawner.reports.balances import BudgetLine, budget_lines
from gpuspawner.reports.launching import Launching
from gpuspawner.reports.servers import RunningServer, running_server
from gpuspawner.web.errors import Button, buttons_of
from gpuspawner.web.form import describe_launch
from gpuspawner.web.remedies import remedies_for, situation_of
from gpuspawner.web.sessions import sessions_of

__all__ = ["Card", "CardState", "Home", "home_of"]

_FRESH = timedelta(days=7)


class CardState(StrEnum):
    """What a server does."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"


_ORDER = tuple(CardState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One server of a member; ``name`` is empty for the default one.

    ``running`` is known while it runs and the cluster has been seen, ``launching`` while it starts. ``summary`` is what
    is being started, or was the last time; ``last`` starts just that again. ``ending`` is why it ended, for a week, and
    ``buttons`` are what would start instead. ``used`` is when it was last used, in words.
    """

    name: str
    title: str
    state: CardState
    url: str
    spawn: str
    pending: str
    actions: str
    running: RunningServer | None = None
    launching: Launching | None = None
    summary: str = ""
    last: str = ""
    ending: Ending | None = None
    ended: str = ""
    buttons: tuple[Button, ...] = ()
    used: str = ""

    @property
    def id(self) -> str:
        """For anchors and labels: no two servers of a member share it."""
        return self.name or "default"


@dataclass(frozen=True, slots=True)
class Home:
    """What the home page shows of a member: servers and budgets. ``spawn`` is the form of the default server."""

    cards: tuple[Card, ...]
    budgets: tuple[BudgetLine, ...]
    spawn: str

    @property
    def default_active(self) -> bool:
        """Whether the default server is in use, so that another one needs a name."""
        return any(not card.name and card.state is not CardState.STOPPED for card in self.cards)

    @property
    def moves(self) -> bool:
        """Whether something on the page is about to change by itself."""
        return any(card.state in (CardState.STARTING, CardState.STOPPING) for card in self.cards)


def home_of(user: Any) -> Home | None:
    """The home page of a user of JupyterHub; None for nobody, and where another spawner is configured."""
    sessions = sessions_of(user) if getattr(user, "orm_user", None) is not None else None
    if sessions is None:
        return None
    launcher = user.spawner.launcher
    cards = [_card(user, name, stored, launcher.now()) for name, stored in sorted(user.orm_user.orm_spawners.items())]
    shown = [card for card in cards if card is not None]
    settings, now = launcher.settings, launcher.now()
    mine = current_workspaces(user, now)
    spaces = [space for name, space in settings.workspaces.items() if name in mine]
    lines = budget_lines(user.name, spaces, settings, launcher.accounts, now) if launcher.books.known else ()
    return Home(
        cards=tuple(sorted(shown, key=lambda card: _ORDER.index(card.state))),
        budgets=tuple(line for line in lines if not line.free),
        spawn=_path(user, "spawn", user.name),
    )


def _card(user: Any, name: str, stored: Any, now: datetime) -> Card | None:
    """None for a default server that was never started, and for named ones where there are none any more."""
    spawner = user.spawners.get(name)
    active = spawner is not None and spawner.active
    if name and not active and not user.allow_named_servers:
        return None
    place = (user.name, *((name,) if name else ()))
    common: dict[str, Any] = {
        "name": name,
        "title": getattr(stored, "display_name", "") or name or "Your server",
        "url": user.server_url(name),
        "spawn": _path(user, "spawn", *place),
        "pending": _path(user, "spawn-pending", *place),
        "actions": _path(user, "gpuspawner", "sessions", *place),
    }
    if spawner is None or not active:
        return _stopped(user, name, stored, now, common)
    if spawner.pending in ("spawn", "check"):
        return Card(
            **common,
            state=CardState.STARTING,
            launching=getattr(spawner, "launching", None),
            summary=getattr(spawner, "launch_summary", ""),
        )
    if spawner.pending == "stop":
        return Card(**common, state=CardState.STOPPING)
    sessions = sessions_of(user)
    lease = sessions.lease(user.name, name) if sessions is not None else None
    watch = user.settings.get("gpuspawner_idle")
    idle = watch.verdict(user.name, name) if watch is not None and lease is not None else None
    running = running_server(lease, sessions, idle) if sessions is not None and lease is not None else None
    return Card(**common, state=CardState.RUNNING, running=running)


def _stopped(user: Any, name: str, stored: Any, now: datetime, common: Mapping[str, Any]) -> Card | None:
    ending = Ending.from_state(stored.state)
    if ending is not None and now - ending.at > _FRESH:
        ending = None
    options = stored.user_options or {}
    last, summary = _as_before(user, name, options)
    if not name and ending is None and not last:
        return None
    buttons: list[Button] = []
    if ending is not None:
        remedies = remedies_for(user.spawner, ending.error, ending.options or options, server=name)
        buttons = buttons_of(remedies)
    again = {button.value for button in buttons}
    activity = stored.last_activity
    return Card(
        **common,
        state=CardState.STOPPED,
        summary=summary,
        last="" if last in again else last,
        ending=ending,
        ended=f"{ending.at:%A %-d %B, %H:%M}" if ending is not None else "",
        buttons=tuple(buttons),
        used=_said_day(activity, now) if activity is not None else "",
    )


def _as_before(user: Any, name: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """What a button posts to start the last launch again, and what that is; both empty where it is on offer no more."""
    if not options:
        return "", ""
    situation = situation_of(user.spawner, server=name)
    try:
        request = situation.parse(options)
        return json.dumps(dict(options), sort_keys=True), describe_launch(request, situation.settings.catalog)
    except (LaunchError, TypeError, ValueError):
        return "", ""


def _said_day(activity: datetime, now: datetime) -> str:
    """When a server was last used; JupyterHub keeps UTC without saying so."""
    at = activity.replace(tzinfo=UTC).astimezone(now.tzinfo)
    return say_time(at, now)


def _path(user: Any, *parts: str) -> str:
    return str(url_path_join(user.settings["hub"].base_url, *(quote(part, safe="") for part in parts)))
