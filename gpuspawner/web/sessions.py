"""A member's running servers as JupyterHub has them: extending one, telling of them, and notices on every page."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from jupyterhub.utils import url_path_join

from gpuspawner.authenticator import current_workspaces
from gpuspawner.reports.servers import running_server
from gpuspawner.sessions.idle import Verdict
from gpuspawner.sessions.lease import SHORTEST_EXTENSION, ExtensionError, Lease
from gpuspawner.sessions.sessions import Sessions

__all__ = ["extend_server", "notices_html", "session_json", "sessions_of"]

_DEFAULT = 3600
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
    """A running server as the API tells it; ``idle`` is what is known of its idleness, where it ends for that."""
    return running_server(lease, sessions, idle).as_json()


def notices_html(user: Any) -> str:
    """What a JupyterHub user should know of their running servers, as HTML for any page; every value is escaped.

    Empty for nobody, and before anybody of the hub has launched anything.
    """
    settings: Mapping[str, Any] = getattr(user, "settings", None) or {}
    sessions = settings.get("gpuspawner_sessions")
    notices = sessions.notices.of(user.name) if sessions is not None else []
    return _PIECE.render(notices=notices, home=url_path_join(_base_url(user), "home")) if notices else ""


def _base_url(user: Any) -> str:
    return str(user.settings["hub"].base_url)
