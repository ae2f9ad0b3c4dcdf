"""The pages of workspaces, for managers, who steer them, and auditors, who read: and where their parts are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.limits.trace import midnight
from gpuspawner.quantity import say_gpus, say_units
from gpuspawner.reports.ahead import ClassQuota, LimitsAhead, limits_ahead
from gpuspawner.reports.attention import attention
from gpuspawner.reports.members import Members, MembersAsked, begins_of, members_page
from gpuspawner.schema import Schema
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.pages.usage import use_chart
from gpuspawner.web.pages.workspace_limits import LimitsPage
from gpuspawner.web.pages.workspace_servers import ExtendPage, ServersPage, StopPage
from gpuspawner.web.pages.workspace_tab import WorkspaceTab
from gpuspawner.web.workspaces import AskingOfWorkspaces
from gpuspawner.workspace import Workspace

__all__ = ["workspace_pages"]

_PAGE = 25
_DAYS = 30
_LOOK_AT = 50
"""Members whose budgets are looked at, those who have used most."""
_SOON = 5


class MembersShown(Schema):
    """Which members, in which order."""

    search: str = Field(default="", max_length=200)
    sort: Literal["user", "role", "last_seen", "running", "gpu_hours", "units", "left"] = "user"
    descending: bool = False
    after: int = Field(default=0, ge=0, le=10_000_000)


def workspace_pages() -> list[tuple[str, type[Any]]]:
    """What goes into ``c.JupyterHub.extra_handlers``; the paths are below ``/hub``."""
    one = r"/gpuspawner/workspaces/(?P<workspace>[^/]+)"
    return [
        (r"/gpuspawner/workspaces", WorkspacesPage),
        (one, WorkspacePage),
        (f"{one}/members", MembersPage),
        (f"{one}/servers", ServersPage),
        (f"{one}/limits", LimitsPage),
        (f"{one}/stop", StopPage),
        (f"{one}/extend", ExtendPage),
    ]


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column of the members: a link that sorts by it; ``order`` is what ``aria-sort`` tells."""

    title: str
    href: str
    order: str
    number: bool


class WorkspacesPage(AskingOfWorkspaces, PageHandler):
    """``GET /hub/gpuspawner/workspaces``: those that one may read."""

    @authenticated
    async def get(self) -> None:
        """All of them at a glance; whoever has only one is led to it."""
        launcher = await self.ready_launcher()
        names = self.readable(launcher)
        if len(names) == 1:
            self.redirect(self.url("gpuspawner", "workspaces", names[0]))
            return
        await self.show("workspaces.html", lines=self.lines(launcher, names), say_units=say_units)


class WorkspacePage(WorkspaceTab):
    """``GET /hub/gpuspawner/workspaces/NAME``: how it is now, and what its managers should look at."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """Use now against quota and budget, use by day, and what comes."""
        launcher, space = await self.asked_for(workspace)
        settings, now = launcher.settings, launcher.now()
        period, most = await self.who_uses_most(launcher, space, _LOOK_AT)
        use = await self.use_by_day(launcher, space, _DAYS)
        starting = self.starting(launcher, space)
        held = self.running(launcher, space)[:_LOOK_AT] if self.looks_for_idleness else []
        ahead = limits_ahead(space, settings, await launcher.store.grants(workspace=space.name, at=now), now)
        by = "units" if use.total.micro else "hours"
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "",
            period=period,
            since=begins_of(space, settings, now).astimezone(settings.timezone),
            attention=attention(starting, self.running_lines(launcher, held), most, now),
            top=[one for one in most[:_SOON] if one.use.micro or one.use.gpu_seconds],
            chart=use_chart(use, by, list(settings.catalog.gpu_classes)) if use.titles else None,
            soon=_soon(ahead, settings.timezone, now),
        )


class MembersPage(WorkspaceTab):
    """``GET /hub/gpuspawner/workspaces/NAME/members``."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """Who is in it and what each has used, searched, sorted and in pages."""
        shown = self.query(MembersShown)
        launcher, space = await self.asked_for(workspace)
        now, settings = launcher.now(), launcher.settings
        lines = await self.member_lines(launcher, space)
        asked = MembersAsked(shown.search, shown.sort, shown.descending, _PAGE, shown.after)
        found = members_page(lines, space.name, launcher.accounts, asked, now)
        download = url_concat(self.url("api", "gpuspawner", "workspaces", space.name, "members"), {"format": "csv"})
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "members",
            members=found,
            shown=shown,
            columns=list(self._columns(space, shown)),
            since=begins_of(space, settings, now).astimezone(settings.timezone),
            timezone=settings.timezone,
            pages=_pages(found),
            page=lambda after: self._link(space, shown, after=after or None),
            download=download,
            servers=self.here(space, "servers"),
        )

    def _columns(self, space: Workspace, shown: MembersShown) -> "list[Column]":
        budget = space.budget
        bounded = budget is not None and budget.per_member is not None
        titles = [
            ("user", "Member"),
            ("role", "Role"),
            ("last_seen", "Last seen"),
            ("running", "Servers"),
            ("gpu_hours", "GPU hours"),
            ("units", "Used"),
            *([("left", "Left")] if bounded else []),
        ]
        found = []
        for sort, title in titles:
            chosen = sort == shown.sort
            descending = not shown.descending if chosen else sort not in ("user", "left")
            order = ("descending" if shown.descending else "ascending") if chosen else "none"
            href = self._link(space, shown, sort=sort, descending=descending or None, after=None)
            found.append(Column(title, href, order, sort in ("running", "gpu_hours", "units", "left")))
        return found

    def _link(self, space: Workspace, shown: MembersShown, **changes: Any) -> str:
        asked = {**shown.model_dump(exclude_defaults=True), **changes}
        return self.here(space, "members", **asked)


def _pages(found: Members) -> str:
    if not found.found:
        return ""
    first, last = found.asked.after + 1, found.asked.after + len(found.lines)
    return f"{first} to {last} of {found.found}" if found.found > len(found.lines) else f"{found.found} in all"


@dataclass(frozen=True, slots=True)
class Soon:
    """A day on which something changes, and what."""

    at: datetime
    sentence: str


def _soon(ahead: LimitsAhead, timezone: ZoneInfo, now: datetime) -> list[Soon]:
    """The next days on which something changes."""
    days = [(renewal.day, renewal.sentence) for renewal in ahead.renewals]
    for quota in ahead.quotas:
        days += [(step.day, _step(quota, place)) for place, step in enumerate(quota.steps) if place]
    return [Soon(midnight(day, timezone), sentence) for day, sentence in sorted(days)[:_SOON]]


def _step(quota: ClassQuota, place: int) -> str:
    before, after = quota.steps[place - 1].gpus, quota.steps[place].gpus
    if after is None:
        return f"{quota.title}: no limit any more."
    was = "" if before is None else f", {'up' if after > before else 'down'} from {before}"
    return f"{quota.title}: {say_gpus(after)} at once{was}."
