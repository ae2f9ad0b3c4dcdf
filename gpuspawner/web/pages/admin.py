"""The administration: what its pages share, the overview, and all workspaces at a glance."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.ledger.records import SessionFilter
from gpuspawner.limits.trace import say_time
from gpuspawner.membership.roles import Action
from gpuspawner.quantity import format_duration, say_units
from gpuspawner.reports.audit import audit_lines
from gpuspawner.reports.overview import IMPORTANT, ClassNow, concerns, exceptions_ahead
from gpuspawner.schema import Schema
from gpuspawner.web.administration import configuration_of, queue_of
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.pages.usage import say_hours, say_moment
from gpuspawner.web.workspaces import AskingOfWorkspaces

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["AdminPage", "OverviewPage", "WorkspacesPage"]

_TABS = (
    ("Overview", ""),
    ("Workspaces", "workspaces"),
    ("Limits", "limits"),
    ("Explain", "explain"),
    ("Grants", "grants"),
    ("Queue", "queue"),
    ("Capacity", "capacity"),
    ("Audit log", "audit"),
    ("Configuration", "configuration"),
)
_RECENT, _LOOK_BACK = 6, 60
_DAYS = 30


class AdminPage(PageHandler):
    """A page of the administration; its post is a form of it."""

    async def prepare(self) -> None:
        """Turn away whoever does not administer all workspaces."""
        await super().prepare()
        if not self._finished:
            self.require(Action.ADMINISTER)

    def here(self, tab: str, **query: Any) -> str:
        """Another page of the administration, with a query of what is not empty."""
        path = self.url("gpuspawner", "admin", *filter(None, [tab]))
        found = {key: str(value) for key, value in query.items() if value not in (None, "", False)}
        return str(url_concat(path, found))

    async def show_tab(self, tab: str, launcher: "Launcher", **variables: Any) -> None:
        """Answer with a page, in the frame that all of them share."""
        now = launcher.now()
        await self.show(
            f"administration_{tab or 'overview'}.html",
            tabs=[(title, self.here(name), name == tab) for title, name in _TABS],
            settings=launcher.settings,
            spaces=sorted(launcher.settings.workspaces.values(), key=lambda space: space.title.casefold()),
            now=now,
            today=now.date(),
            to=self.here,
            say_units=say_units,
            say_hours=say_hours,
            say_moment=say_moment,
            say_time=say_time,
            format_duration=format_duration,
            **variables,
        )


class OverviewPage(AskingOfWorkspaces, AdminPage):
    """``GET /hub/gpuspawner/admin``: how the hub is, and what needs a hand."""

    @authenticated
    async def get(self) -> None:
        """What runs and waits, what is doubtful, what changes soon, what was done."""
        launcher = await self.ready_launcher()
        settings, now = launcher.settings, launcher.now()
        lines = self.lines(launcher, list(settings.workspaces))
        waiting = queue_of(launcher, turns=False)
        week = await launcher.store.usage(SessionFilter(since=now - timedelta(days=7)), by="workspace")
        recent = await launcher.store.audit(limit=_LOOK_BACK)
        told = [line for line in audit_lines(recent.rows, settings) if line.action in IMPORTANT][:_RECENT]
        capacity = launcher.capacity()
        await self.show_tab(
            "",
            launcher,
            classes=[ClassNow.of(one, capacity) for one in settings.catalog.gpu_classes.values()],
            capacity=capacity,
            servers=sum(line.running for line in lines),
            waiting=[line for line in waiting if line.waits],
            week=week,
            week_hours=sum(one.gpu_seconds for one in week) / 3600,
            week_charged=sum(one.charged for one in week),
            week_sessions=sum(one.sessions for one in week),
            titles={name: space.title for name, space in settings.workspaces.items()},
            concerns=concerns(
                launcher.view, launcher.books.unavailable, configuration_of(self), waiting, lines, settings
            ),
            ahead=exceptions_ahead(settings, now.date()),
            recent=told,
        )


class WhichWorkspaces(Schema):
    """Which workspaces, in which order."""

    search: str = Field(default="", max_length=200)
    sort: Literal["title", "members", "running", "gpu_hours", "units"] = "title"


class WorkspacesPage(AskingOfWorkspaces, AdminPage):
    """``GET /hub/gpuspawner/admin/workspaces``: all of them, with their use and limits."""

    @authenticated
    async def get(self) -> None:
        """Those whose name or title has the words searched for."""
        asked = self.query(WhichWorkspaces)
        launcher = await self.ready_launcher()
        since = launcher.now() - timedelta(days=_DAYS)
        used = {one.name: one for one in await launcher.store.usage(SessionFilter(since=since), by="workspace")}
        words = asked.search.casefold().split()
        lines = [
            line
            for line in self.lines(launcher, list(launcher.settings.workspaces))
            if all(word in f"{line.name} {line.title}".casefold() for word in words)
        ]
        by = {
            "members": lambda line: line.members,
            "running": lambda line: line.running,
            "gpu_hours": lambda line: used[line.name].gpu_seconds if line.name in used else 0,
            "units": lambda line: used[line.name].charged if line.name in used else 0,
        }
        if asked.sort in by:
            lines.sort(key=by[asked.sort], reverse=True)
        await self.show_tab("workspaces", launcher, asked=asked, lines=lines, used=used, days=_DAYS)
