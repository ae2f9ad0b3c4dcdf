"""``/hub/api/gpuspawner/workspaces``: a workspace as its managers and auditors see it: members, servers, limits."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from gpuspawner.membership.roles import Action, Role
from gpuspawner.reports.ahead import AHEAD, limits_ahead
from gpuspawner.reports.members import COLUMNS, MembersAsked, members_page
from gpuspawner.reports.workspace_servers import ServerState
from gpuspawner.schema import Schema
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import CSV, JSON, Answer, Operation, Operations, Paged, Pages
from gpuspawner.web.downloads import send_csv
from gpuspawner.web.workspaces import AskingOfWorkspaces

__all__ = ["MembersHandler", "ServersHandler", "WorkspaceHandler", "WorkspacesHandler"]

_Place = Annotated[str | None, Field(max_length=9, pattern="^[0-9]+$", description="The `next` of the page before.")]


class ClassHeld(Answer):
    """What a workspace holds of one GPU class, in GPUs."""

    gpu_class: str
    title: str
    running: int
    starting: int = Field(description="Of launches under way, which count in each class that they may land on.")
    held: int = Field(description="Both together: what counts.")
    quota: int | None = Field(description="What it may hold of its own; null: no limit.")
    borrowed: int = Field(description="What it holds beyond its own quota.")


class BudgetOf(Answer):
    """What there is to spend in a workspace."""

    per_member: float | None = Field(description="Service units of each member in a period; null: not bounded.")
    pool: answers.Account | None = Field(description="What all members share.")
    renews: str


class WorkspaceGlance(Answer):
    """A workspace as it is now."""

    name: str
    title: str
    state: Literal["open", "not open yet", "ended"]
    starts: date | None
    ends: date | None
    members: int = Field(description="How many have logged in.")
    running: int = Field(description="Servers.")
    starting: int
    gpu_classes: list[ClassHeld]
    budget: BudgetOf | None


class QuotaStep(Answer):
    """What a quota is from a day on."""

    day: date
    gpus: int | None = Field(description="Null: no limit.")
    rule: str = Field(description="The place in the configuration that sets it.")


class QuotaAhead(Answer):
    """The quota of one GPU class over the days to come."""

    gpu_class: str
    title: str
    steps: list[QuotaStep]


class ChangedLimit(Answer):
    """One limit that an exception changes, in words."""

    limit: str
    value: str
    usually: str


class Exceptional(Answer):
    """A dated exception."""

    from_: date = Field(alias="from")
    to: date = Field(description="The last day.")
    state: Literal["past", "now", "to come"]
    rule: str
    changes: list[ChangedLimit]


class DayAhead(Answer):
    """A day on which something changes."""

    day: date
    sentence: str


class Ahead(Answer):
    """The limits of a workspace over the days to come."""

    first: date
    last: date
    quota: list[QuotaAhead]
    exceptions: list[Exceptional]
    renewals: list[DayAhead]


class WorkspaceInFull(WorkspaceGlance):
    """A workspace as it is now, and its limits over the days to come."""

    limits: Ahead


class MemberOf(Answer):
    """Somebody in a workspace, and what they used there in this period."""

    user: str
    roles: list[Role] = Field(description="None where they have left.")
    last_seen: AwareDatetime | None = Field(description="Null: they have never logged in.")
    running: int = Field(description="Servers.")
    starting: int
    sessions: int
    gpu_hours: float
    units: float = Field(description="Service units.")
    held: float
    left: float | None = Field(description="Service units; null where no budget of their own bounds them.")
    total: float | None


class ServerOf(Answer):
    """A server of a member."""

    user: str
    server: str = Field(description="Empty for the default server.")
    workspace: str
    profile: str
    gpu_class: str | None
    gpus: int
    cpu: float
    memory: int
    state: ServerState
    since: AwareDatetime | None = Field(description="When it started, or was asked for.")
    ends: AwareDatetime | None
    why: str = Field(description="What ends it, or what it waits for.")
    idle_since: AwareDatetime | None
    units: float = Field(description="Service units it has cost until now.")
    extendable_by: int = Field(description="Seconds.")
    position: int | None = Field(description="Its place, from 1, where it waits for a GPU and that is known.")
    by: AwareDatetime | None = Field(description="When its turn comes, where that is known.")


class Glances(Pages[WorkspaceGlance]):
    """Workspaces, in the order of the configuration."""


class Members(Pages[MemberOf]):
    """People, in the order that was asked for."""


class Servers(Pages[ServerOf]):
    """Servers: those that are starting, then those that run, the one that ends first first."""


class AheadAsked(Schema):
    """How far to look ahead."""

    days: Annotated[int, Field(ge=1, le=366, description="Days for which limits are told, after today.")] = AHEAD


class MembersQuery(Paged):
    """Which members, in which order."""

    after: _Place = None
    search: str = Field(default="", max_length=200, description="What their names have in them.")
    sort: Literal["user", "role", "last_seen", "running", "gpu_hours", "units", "left"] = "user"
    descending: bool = False
    format: Literal["json", "csv"] = Field(
        default="json", description="`csv`: all of them as a file; `limit` does not count."
    )


class ServersQuery(Paged):
    """Which servers."""

    after: _Place = None
    state: Literal["running", "starting"] | None = Field(default=None, description="Only these.")


class WorkspacesHandler(AskingOfWorkspaces, ApiHandler):
    """The workspaces that one may read."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The workspaces that you manage or audit, as they are now.",
            scopes=(Action.READ,),
            query=Paged,
            answer=Glances,
            errors=(503,),
        )
    }

    async def get(self) -> None:
        """In the order of the configuration; a page begins after the name in ``after``."""
        asked = self.query(Paged)
        launcher = await self.ready_launcher()
        names = self.readable(launcher)
        begin = names.index(asked.after) + 1 if asked.after in names else 0
        shown = names[begin : begin + asked.limit]
        lines = {line.name: line for line in self.lines(launcher, shown)}
        more = shown[-1] if shown and begin + asked.limit < len(names) else None
        self.answer({"items": [lines[name].as_json() for name in shown], "next": more})


class WorkspaceHandler(AskingOfWorkspaces, ApiHandler):
    """One workspace."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="A workspace as it is now, and its limits over the days to come.",
            scopes=(Action.READ,),
            query=AheadAsked,
            answer=WorkspaceInFull,
            errors=(404, 503),
        )
    }

    async def get(self, workspace: str) -> None:
        """What it holds of its quotas, what its pool has left, and which days change what."""
        asked = self.query(AheadAsked)
        self.require(Action.READ, workspace)
        launcher = await self.ready_launcher()
        space = self.space(launcher, workspace)
        ahead = limits_ahead(space, launcher.settings, (), launcher.now(), asked.days)
        self.answer({**self.line(launcher, space).as_json(), "limits": ahead.as_json()})


class MembersHandler(AskingOfWorkspaces, ApiHandler):
    """The members of a workspace."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="Who is in a workspace, and what they used in this period of its budget, or else in 30 days.",
            description="Whoever is on its roster and has never logged in is there, too, and whoever has left and used "
            "something. `?format=csv` is a file for spreadsheets.",
            scopes=(Action.READ,),
            query=MembersQuery,
            answer=Members,
            media=(JSON, CSV),
            errors=(404, 503),
        )
    }

    async def get(self, workspace: str) -> None:
        """A page of them, or all of them as CSV."""
        asked = self.query(MembersQuery)
        self.require(Action.READ, workspace)
        launcher = await self.ready_launcher()
        space = self.space(launcher, workspace)
        lines = await self.member_lines(launcher, space)
        csv = asked.format == "csv"
        which = MembersAsked(
            search=asked.search,
            sort=asked.sort,
            descending=asked.descending,
            limit=len(lines) if csv else asked.limit,
            after=0 if csv else int(asked.after or 0),
        )
        found = members_page(lines, space.name, launcher.accounts, which, launcher.now())
        rows = [line.as_json() for line in found.lines]
        if csv:
            plain = [{**row, "roles": " ".join(row["roles"])} for row in rows]
            await send_csv(self, f"members-{space.name}.csv", COLUMNS, _once(plain))
            return
        self.answer({"items": rows, "next": None if found.next is None else str(found.next)})


class ServersHandler(AskingOfWorkspaces, ApiHandler):
    """The servers of a workspace."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The servers of a workspace: those that are starting first, then those that run.",
            scopes=(Action.READ,),
            query=ServersQuery,
            answer=Servers,
            errors=(404, 503),
        )
    }

    async def get(self, workspace: str) -> None:
        """A page of them."""
        asked = self.query(ServersQuery)
        self.require(Action.READ, workspace)
        launcher = await self.ready_launcher()
        space = self.space(launcher, workspace)
        starting = [] if asked.state == "running" else self.starting(launcher, space)
        running = [] if asked.state == "starting" else self.running(launcher, space)
        begin, end = int(asked.after or 0), int(asked.after or 0) + asked.limit
        skipped = len(starting)
        lines = starting[begin:end]
        lines += self.running_lines(launcher, running[max(0, begin - skipped) : max(0, end - skipped)])
        more = str(end) if end < skipped + len(running) else None
        self.answer({"items": [line.as_json() for line in lines], "next": more})


async def _once(rows: Sequence[Mapping[str, Any]]) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    yield rows
