"""A member's running servers and notices on the hub's pages, and extending one from there without JavaScript."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_path_join
from tornado.web import HTTPError, authenticated

from gpuspawner.authenticator import current_workspaces
from gpuspawner.config import Settings
from gpuspawner.quantity import MICRO, format_duration, say_units
from gpuspawner.schema import read_seconds
from gpuspawner.sessions.idle import Verdict
from gpuspawner.sessions.lease import SHORTEST_EXTENSION, ExtensionError, Lease, PlannedEnd
from gpuspawner.sessions.notices import Level, Notice
from gpuspawner.sessions.sessions import Sessions

__all__ = [
    "ExtendPage",
    "RunningServer",
    "extend_server",
    "notices_html",
    "running_servers",
    "session_json",
    "sessions_of",
]

_DEFAULT = 3600
_STEPS = (1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600)
_PIECE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """\
{% for notice in notices %}
<div class="gs-notice" role="status" data-gs-notice="{{ notice.id }}" data-gs-level="{{ notice.level }}">
{{ notice.sentence }}
{% if notice.data.extendable_by %}
<a class="alert-link" href="{{ home }}#gs-servers">Give it more time</a>
{% endif %}
</div>
{% endfor %}"""
)


def sessions_of(user: Any) -> Sessions | None:
    """The running servers of the hub, by way of one of its users; None where another spawner is configured."""
    return getattr(user.spawner, "sessions", None)


async def extend_server(user: Any, server: str, seconds: int | str | None, *, by: str) -> Lease:
    """Extend a user's server by so many seconds, by ``"max"``, or (None) by an hour or what is left of it.

    ``by`` is the name of who asks for it.

    Raises
    ------
    ExtensionError
        Where it cannot, with what fits.
    """
    sessions = sessions_of(user)
    lease = sessions.lease(user.name, server) if sessions is not None else None
    if sessions is None or lease is None:
        raise ExtensionError("The server does not run.", "Start it.")
    if lease.workspace not in current_workspaces(user):
        raise ExtensionError(
            "You may not use its workspace any more, so the server runs until its end and no longer.",
            "Save your work, and start another one in a workspace of yours.",
        )
    if not isinstance(seconds, int):
        left = sessions.extendable_by(lease)
        seconds = max(left if seconds == "max" else min(_DEFAULT, left), SHORTEST_EXTENSION)
    return await sessions.extend(user.name, server, seconds, by=by)


def session_json(lease: Lease, sessions: Sessions, idle: Verdict | None = None) -> dict[str, Any]:
    """A running server as the API tells it; times as RFC 3339 in the hub's time zone, durations in seconds.

    ``left`` is until the first of its ends; ``extensions`` are some that are possible, with what each costs in service
    units. ``idle`` is what is known of its idleness, where it ends for that.
    """
    settings, ends = sessions.settings, sessions.ends(lease)
    zone = settings.timezone

    def say(moment: datetime) -> str:
        return moment.astimezone(zone).isoformat(timespec="seconds")

    return {
        "user": lease.user,
        "server": lease.server,
        "workspace": lease.workspace,
        "workspace_title": _space_title(lease, settings),
        "profile": lease.profile,
        "profile_title": _profile_title(lease, settings),
        "started": say(lease.started),
        "ends": say(lease.ends),
        "runtime": lease.runtime,
        "left": _left(ends[0], sessions.now()),
        "extendable_by": sessions.extendable_by(lease),
        "extensions": [
            {"by": seconds, "cost": sessions.cost_of_extension(lease, seconds) / MICRO}
            for seconds in _steps(sessions.extendable_by(lease))
        ],
        "ends_by": [{"cause": end.kind, "at": say(end.at), "why": end.warning} for end in ends],
        "idle": idle
        and {
            "state": str(idle.state),
            "why": idle.why,
            "since": idle.since and say(idle.since),
            "ends": idle.ends and say(idle.ends),
        },
    }


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server as the home page shows it. ``steps`` are the extensions on offer: seconds, and words."""

    server: str
    title: str
    until: str
    left: str
    why: str
    steps: tuple[tuple[int, str], ...]
    action: str


def running_servers(user: Any) -> list[RunningServer]:
    """The running servers of a JupyterHub user, for the home page; none for nobody."""
    sessions = sessions_of(user) if getattr(user, "orm_user", None) is not None else None
    return [] if sessions is None else [_shown(user, lease, sessions) for lease in sessions.leases(user.name)]


def _shown(user: Any, lease: Lease, sessions: Sessions) -> RunningServer:
    now, settings = sessions.now(), sessions.settings
    first = sessions.ends(lease)[0]
    at = first.at.astimezone(now.tzinfo)
    titles = (_profile_title(lease, settings), _space_title(lease, settings))
    day = "" if at.date() == now.date() else f"{at:%A %-d %B, }"
    more = sessions.extendable_by(lease)
    steps = [(step, f"{format_duration(step)}{', the longest' if step == more else ''}") for step in _steps(more)]
    where = [quote(part, safe="") for part in (user.name, lease.server) if part]
    return RunningServer(
        server=lease.server,
        title=", ".join(title for title in titles if title),
        until=f"{day}{at:%H:%M}",
        left=format_duration(-(-_left(first, now) // 60) * 60),
        why=first.warning,
        steps=tuple((seconds, _priced(words, sessions.cost_of_extension(lease, seconds))) for seconds, words in steps),
        action=url_path_join(_base_url(user), "gpuspawner", "sessions", *where, "extend"),
    )


def _left(end: PlannedEnd, now: datetime) -> int:
    return max(0, round((end.at - now).total_seconds()))


def _steps(most: int) -> list[int]:
    """Extensions to offer, in seconds, up to the longest that is possible."""
    return [*(step for step in _STEPS if step < most), *([most] if most >= SHORTEST_EXTENSION else [])]


def _profile_title(lease: Lease, settings: Settings) -> str:
    profile = settings.catalog.profiles.get(lease.profile)
    return profile.title if profile else lease.profile


def _space_title(lease: Lease, settings: Settings) -> str:
    space = settings.workspaces.get(lease.workspace)
    return space.title if space else lease.workspace


def _priced(words: str, cost: int) -> str:
    return f"{words} ({say_units(cost, up=True)})" if cost else words


def notices_html(user: Any) -> str:
    """What a JupyterHub user should know of their running servers, as HTML for any page; every value is escaped.

    Empty for nobody, and before anybody of the hub has launched anything.
    """
    settings: Mapping[str, Any] = getattr(user, "settings", None) or {}
    sessions = settings.get("gpuspawner_sessions")
    notices = sessions.notices.of(user.name) if sessions is not None else []
    return _PIECE.render(notices=notices, home=url_path_join(_base_url(user), "home")) if notices else ""


class ExtendPage(BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """The buttons of the home page: a form that works without JavaScript, and leads back to the page."""

    @authenticated
    async def post(self, user_name: str, server_name: str | None = None) -> None:
        """Extend one's own server; what became of it is a notice on the next page."""
        user, server = self.current_user, server_name or ""
        if user.name != user_name:
            raise HTTPError(404)
        try:
            seconds = read_seconds(self.get_body_argument("by", str(_DEFAULT)))
            await extend_server(user, server, seconds, by=user.name)
        except ValueError:
            raise HTTPError(400, "by must be a duration such as 1h") from None
        except ExtensionError as error:
            sessions = sessions_of(user)
            if sessions is not None:
                sessions.notices.tell(_refused(user.name, server, error, sessions.now()), quietly=True)
        self.redirect(url_path_join(self.hub.base_url, "home"))


def _refused(user: str, server: str, error: ExtensionError, now: datetime) -> Notice:
    return Notice(
        kind="not-extended",
        user=user,
        server=server,
        at=now,
        level=Level.WARNING,
        sentence=error.sentence,
        data={"code": error.code},
        until=now + timedelta(minutes=2),
    )


def _base_url(user: Any) -> str:
    return str(user.settings["hub"].base_url)
