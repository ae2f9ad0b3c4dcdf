"""The pages of workspaces, for managers, who steer them, and auditors, who read: members, servers, limits, budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.ledger.records import SessionFilter
from gpuspawner.limits.trace import say_time
from gpuspawner.membership.roles import Action
from gpuspawner.quantity import format_duration, say_gpus, say_units
from gpuspawner.reports.ahead import ClassQuota, LimitsAhead, limits_ahead
from gpuspawner.reports.attention import attention
from gpuspawner.reports.days import Days
from gpuspawner.reports.effective_limits import Scope, effective_limits
from gpuspawner.reports.members import Members, MembersAsked, begins_of, members_page
from gpuspawner.reports.use import Use, use_over_days
from gpuspawner.reports.workspaces import WorkspaceLine
from gpuspawner.schema import Schema, read_seconds
from gpuspawner.sessions.lease import ExtensionError
from gpuspawner.web.asking import BadBodyError
from gpuspawner.web.charts import Chart, Series, Steps, colours, step_lines
from gpuspawner.web.pages.base import PageHandler
from gpuspawner.web.pages.usage import say_hours, say_moment, use_chart
from gpuspawner.web.sessions import extend_server
from gpuspawner.web.steering import LONGEST_MESSAGE, steered
from gpuspawner.web.workspaces import AskingOfWorkspaces
from gpuspawner.workspace import Workspace

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["workspace_pages"]

_PAGE = 50
_DAYS = 30
_TABS = (("Overview", ""), ("Members", "members"), ("Servers", "servers"), ("Limits", "limits"))
_LOOK_AT = 50
"""Members whose budgets are looked at, those who have used most."""
_SOON = 5


class MembersShown(Schema):
    """Which members, in which order."""

    search: str = Field(default="", max_length=200)
    sort: Literal["user", "role", "last_seen", "running", "gpu_hours", "units", "left"] = "user"
    descending: bool = False
    after: int = Field(default=0, ge=0, le=10_000_000)


class ServersShown(Schema):
    """Which of the running servers: those from place ``after`` on."""

    after: int = Field(default=0, ge=0, le=10_000_000)


class Steering(Schema):
    """A form about one server of a member."""

    user: str = Field(max_length=255)
    server: str = Field(default="", max_length=255)
    message: str = Field(default="", max_length=LONGEST_MESSAGE)
    by: str = Field(default="1h", max_length=20)


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


class _Page(AskingOfWorkspaces, PageHandler):
    """A page about one workspace."""

    def here(self, space: Workspace, *path: str, **query: Any) -> str:
        """Another page about the same workspace."""
        found = self.url("gpuspawner", "workspaces", space.name, *path)
        return str(url_concat(found, {name: str(value) for name, value in query.items() if value not in (None, "")}))

    def usage_of(self, space: Workspace, user: str) -> str:
        """The page of what a member has used here."""
        return str(url_concat(self.url("gpuspawner", "usage"), {"user": user, "workspace": space.name}))

    async def show_tab(
        self, launcher: "Launcher", space: Workspace, line: WorkspaceLine, tab: str, **variables: Any
    ) -> None:
        """Answer with one of the pages, in the frame that they share."""
        await self.show(
            f"workspace_{tab or 'overview'}.html",
            space=space,
            line=line,
            tabs=[(title, self.here(space, path) if path else self.here(space), path == tab) for title, path in _TABS],
            several=len(self.readable(launcher)) > 1,
            manages=self.may(Action.MANAGE, space.name),
            now=launcher.now(),
            to=self.here,
            usage_of=self.usage_of,
            say_units=say_units,
            say_hours=say_hours,
            say_gpus=say_gpus,
            say_moment=say_moment,
            format_duration=format_duration,
            longest_message=LONGEST_MESSAGE,
            **variables,
        )

    async def asked_for(self, name: str, action: Action = Action.READ) -> "tuple[Launcher, Workspace]":
        """The workspace of this page. Raises ``ForbiddenError``, ``NotFoundError``, ``UnavailableError``."""
        self.require(action, name)
        launcher = await self.ready_launcher()
        return launcher, self.space(launcher, name, action)


class WorkspacePage(_Page):
    """``GET /hub/gpuspawner/workspaces/NAME``: how it is now, and what its managers should look at."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """Use now against quota and budget, use by day, and what comes."""
        launcher, space = await self.asked_for(workspace)
        settings, accounts, now = launcher.settings, launcher.accounts, launcher.now()
        members = await self.member_lines(launcher, space)
        days = Days.up_to(now, _DAYS, settings.timezone)
        where = SessionFilter(workspace=space.name)
        use = await use_over_days(launcher.store, where, days, settings, accounts, now)
        most = members_page(
            members, space.name, accounts, MembersAsked(sort="units", descending=True, limit=_LOOK_AT), now
        )
        starting = self.starting(launcher, space)
        running = self.running_lines(launcher, self.running(launcher, space)[:_LOOK_AT])
        ahead = limits_ahead(space, settings, await launcher.store.grants(workspace=space.name, at=now), now)
        by = "units" if use.total.micro else "hours"
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "",
            period=sum((one.use for one in members), Use()),
            since=begins_of(space, settings, now).astimezone(settings.timezone),
            attention=attention(starting, running, most.lines, now),
            top=[one for one in most.lines[:_SOON] if one.use.micro or one.use.gpu_seconds],
            chart=use_chart(use, by, list(settings.catalog.gpu_classes)) if use.titles else None,
            soon=_soon(ahead, settings.timezone, now),
        )


class MembersPage(_Page):
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


class ServersPage(_Page):
    """``GET /hub/gpuspawner/workspaces/NAME/servers``."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """Those that are starting, and those that run; managers may stop and extend them."""
        shown = self.query(ServersShown)
        launcher, space = await self.asked_for(workspace)
        running = self.running(launcher, space)
        download = {"format": "csv", "workspace": space.name}
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "servers",
            starting=self.starting(launcher, space),
            running=self.running_lines(launcher, running[shown.after : shown.after + _PAGE]),
            count=len(running),
            first=self.here(space, "servers") if shown.after else "",
            next=self.here(space, "servers", after=shown.after + _PAGE) if shown.after + _PAGE < len(running) else "",
            download=url_concat(self.url("api", "gpuspawner", "sessions", "history"), download),
        )


class LimitsPage(_Page):
    """``GET /hub/gpuspawner/workspaces/NAME/limits``."""

    @authenticated
    async def get(self, workspace: str) -> None:
        """The quota over the next days with its dated exceptions, the limits of today, budget and grants."""
        launcher, space = await self.asked_for(workspace)
        settings, now = launcher.settings, launcher.now()
        grants = await launcher.store.grants(workspace=space.name, at=now)
        ahead = limits_ahead(space, settings, grants, now)
        today = effective_limits(settings, space, ahead.first)
        await self.show_tab(
            launcher,
            space,
            self.line(launcher, space),
            "limits",
            ahead=ahead,
            chart=_quota_chart(ahead, settings.timezone, list(settings.catalog.gpu_classes)),
            limits=[(scope, found) for scope in Scope if (found := _said(today.of(scope)))],
            timezone=settings.timezone,
        )


class StopPage(_Page):
    """``POST /hub/gpuspawner/workspaces/NAME/stop``: the form beside a server."""

    @authenticated
    async def post(self, workspace: str) -> None:
        """Stop a member's server, or call its launch off, and tell them why."""
        launcher, space = await self.asked_for(workspace, Action.MANAGE)
        form = self.form(Steering)
        found = steered(launcher, self.sessions, form.user, form.server)
        page, whose = self.here(space, "servers"), _whose(form)
        if found is None or found.workspace != space.name:
            self.back(page, f"{whose} does not run any more, so nothing was done.", kind="info")
            return
        if self.is_self(form.user):
            raise BadBodyError("It is your own server.", "Stop it on your home page.")
        stopped = await found.stop(launcher, self.sessions, self.asker, form.message)
        told = f" {form.user} reads your message." if form.message.strip() else ""
        if found.lease is None:
            self.back(page, f"The launch of {form.user} was called off.{told}")
        else:
            self.back(page, f"{whose} {'was stopped' if stopped else 'is being stopped'}.{told}")


class ExtendPage(_Page):
    """``POST /hub/gpuspawner/workspaces/NAME/extend``: the form beside a server."""

    @authenticated
    async def post(self, workspace: str) -> None:
        """Give a member's server more time; its member's budget pays, and they are told."""
        launcher, space = await self.asked_for(workspace, Action.MANAGE)
        form = self.form(Steering)
        found = steered(launcher, self.sessions, form.user, form.server)
        page, whose = self.here(space, "servers"), _whose(form)
        if found is None or found.lease is None or found.workspace != space.name:
            self.back(page, f"{whose} does not run any more, so nothing was done.", kind="info")
            return
        try:
            seconds = read_seconds(form.by)
        except ValueError as error:
            raise BadBodyError("The time cannot be understood.", f"Give {error}.") from None
        try:
            lease = await extend_server(self.user_named(form.user), form.server, seconds, by=self.asker)
        except ExtensionError as error:
            self.back(page, error.sentence, kind="warning")
            return
        at = say_time(lease.ends, launcher.now())
        self.back(page, f"{whose} now runs until {at}. {form.user} has been told.")


def _whose(form: Steering) -> str:
    return f"The server {form.server} of {form.user}" if form.server else f"The server of {form.user}"


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


def _soon(ahead: LimitsAhead, timezone: Any, now: datetime) -> list[Soon]:
    """The next days on which something changes."""
    days = [(renewal.day, renewal.sentence) for renewal in ahead.renewals]
    for quota in ahead.quotas:
        days += [(step.day, _step(quota, place)) for place, step in enumerate(quota.steps) if place]
    return [Soon(_midnight(day, timezone), sentence) for day, sentence in sorted(days)[:_SOON]]


def _step(quota: ClassQuota, place: int) -> str:
    before, after = quota.steps[place - 1].gpus, quota.steps[place].gpus
    if after is None:
        return f"{quota.title}: no limit any more."
    was = "" if before is None else f", {'up' if after > before else 'down'} from {before}"
    return f"{quota.title}: {say_gpus(after)} at once{was}."


def _midnight(day: Any, timezone: Any) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone)


def _said(limits: Sequence[Any]) -> list[Any]:
    """Those that bound something."""
    return [limit for limit in limits if limit.value not in (None, False)]


def _quota_chart(ahead: LimitsAhead, timezone: Any, classes: Sequence[str]) -> Chart | None:
    """The GPUs of each class that the workspace may hold, over the days; those without a limit are left out."""
    colour = colours(classes)
    steps = [
        Steps(
            Series(quota.title, colour[quota.gpu_class]),
            [(_midnight(step.day, timezone), float(step.gpus or 0)) for step in quota.steps],
        )
        for quota in ahead.quotas
        if all(step.gpus is not None for step in quota.steps)
    ]
    if not steps:
        return None
    since, until = (_midnight(day, timezone) for day in (ahead.first, ahead.last))
    ticks = [since + timedelta(days=7 * week) for week in range((ahead.last - ahead.first).days // 7 + 1)]
    return step_lines(
        "GPUs that may be held at once",
        steps,
        since,
        until,
        lambda value: f"{value:g}",
        tick=lambda moment: f"{moment:%-d %b}",
        ticks=ticks,
        first="From",
        summary="As far as the configuration says it, for the next 60 days.",
    )
