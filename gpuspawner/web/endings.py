"""What has happened to a member's servers since they last looked, for the announcement on every page."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import Environment

from gpuspawner.ending import Ending
from gpuspawner.web.sessions import notices_html

__all__ = ["announcements", "endings_html"]

_NOBODY_S = ("announcement_login", "announcement_logout")
_FRESH = timedelta(days=7)
_PIECE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """\
{% for name, ending in endings %}
<div class="gs-ending" role="status" data-gs-ending="{{ ending.at.isoformat() }}">
<strong>Your server{{ " " ~ name if name }} {{ "ended" if ending.ran else "did not start" }}</strong>
({{ "{:%A %-d %B, %H:%M}".format(ending.at) }}). {{ ending.reason }} {{ ending.remedy }}
{% if ending.detail %}
<details><summary>What the system said</summary><code>{{ ending.detail }}</code></details>
{% endif %}
</div>
{% endfor %}"""
)


def endings_html(user: Any, now: datetime | None = None) -> str:
    """How servers of a JupyterHub user have ended in the last week, as HTML; every value is escaped.

    It is told until the server is started again. Empty for nobody and for anybody whose servers are well.
    """
    if getattr(user, "orm_user", None) is None:
        return ""
    now = now or datetime.now(UTC)
    endings = []
    for name, stored in sorted(user.orm_user.orm_spawners.items()):
        ending = Ending.from_state(stored.state)
        under_way = name in user.spawners and user.spawners[name].active
        if ending is not None and not under_way and now - ending.at < _FRESH:
            endings.append((name, ending))
    return _PIECE.render(endings=endings) if endings else ""


def announcements(configured: Mapping[str, Any]) -> dict[str, Callable[[Any], str]]:
    """Template variables ``announcement`` and those of single pages that a site has set, with the endings before them.

    JupyterHub shows them on top of its pages, and calls what is callable with the user of the request. The home page
    tells the endings itself.
    """
    home = configured.get("announcement_home", configured.get("announcement"))
    pages = [
        name for name in configured if name.startswith("announcement_") and not name.startswith("announcement_log")
    ]
    found = {name: _before(configured.get(name)) for name in ("announcement", *pages)}
    return {**found, "announcement_home": _before(home, endings=False)}


def _before(theirs: Any, *, endings: bool = True) -> Callable[[Any], str]:
    def both(user: Any) -> str:
        said = theirs(user) if callable(theirs) else theirs
        return (endings_html(user) if endings else "") + notices_html(user) + (said if isinstance(said, str) else "")

    return both
