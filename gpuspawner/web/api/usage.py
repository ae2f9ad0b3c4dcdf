"""``/hub/api/gpuspawner/usage`` and ``/usage/sessions``: what was used, by day and GPU class, and every session."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from gpuspawner.ledger.records import SessionFilter
from gpuspawner.membership.roles import Action
from gpuspawner.reports.days import Days, day_begins
from gpuspawner.reports.sessions import COLUMNS, every_session, sessions_page
from gpuspawner.reports.usage import usage_report
from gpuspawner.schema import Day, Schema
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.costs import Purse
from gpuspawner.web.api.operations import CSV, JSON, OWN, Answer, Operation, Operations, Paged, Pages
from gpuspawner.web.downloads import send_csv
from gpuspawner.web.usage import subject_of

__all__ = ["HistoryHandler", "UsageHandler"]

LONGEST = 366
"""Days."""


class Amounts(Answer):
    """What some sessions used."""

    sessions: int
    seconds: int = Field(description="How long they ran.")
    gpu_seconds: int = Field(description="GPUs times seconds.")
    units: float = Field(description="Service units.")


class ClassAmounts(Amounts):
    """What was used of one GPU class."""

    gpu_class: str | None = Field(description="Null: without GPU.")


class DayAmounts(Answer):
    """What was used on one day: a session counts with the day of its launch, as its budget counts it."""

    day: Day
    by_class: list[ClassAmounts]


class Use(Answer):
    """What was used over some days, running servers with what they have used until now."""

    first: Day
    last: Day
    total: Amounts
    by_class: list[ClassAmounts]
    by_day: list[DayAmounts]


class Usage(Answer):
    """What a member has used, and what is left to them."""

    user: str
    at: AwareDatetime
    workspaces: list[Purse]
    use: Use


class Whose(Schema):
    """Whose use, and of which days."""

    user: str | None = Field(default=None, description="The name of a member; without it, yourself.")
    workspace: str | None = Field(default=None, description="Only in this workspace.")
    days: Annotated[int, Field(ge=1, le=LONGEST, description="So many days, of which today is the last.")] = 30


class Which(Paged):
    """Which sessions."""

    user: str | None = Field(
        default=None,
        description="Those of this member; without it your own, or with `workspace` those of all its members.",
    )
    workspace: str | None = Field(default=None, description="Those in this workspace.")
    gpu_class: str | None = Field(default=None, description="Those that ran on this GPU class.")
    since: Day | None = Field(default=None, description="Launched on this day or later, in the hub's time zone.")
    until: Day | None = Field(default=None, description="Launched on this day or before.")
    format: Literal["json", "csv"] = Field(default="json", description="`csv`: all of them as one file.")


class PastSession(Answer):
    """One session: a launch, what it got and what it cost."""

    id: str
    user: str
    server: str = Field(description="Empty for the default server.")
    workspace: str
    profile: str
    gpu_class: str | None = Field(description="Null without GPU.")
    gpus: int
    cpu: float = Field(description="Cores.")
    memory: int = Field(description="Bytes.")
    opened: AwareDatetime = Field(description="When it was launched.")
    started: AwareDatetime | None
    ended: AwareDatetime | None
    seconds: int = Field(description="How long it ran, or has run.")
    units: float = Field(description="Service units that it cost, or has cost until now.")
    held: float = Field(description="Service units that it may cost at most; 0 once it is settled.")
    settled: bool = Field(description="Whether it is over and has its charge.")
    cause: str | None = Field(description="Why it ended, for programs; `runs` while it is not over.")
    why: str = Field(description="The same in words.")


class History(Pages[PastSession]):
    """Sessions, the last one launched first."""


class UsageHandler(ApiHandler):
    """What a member has used."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What a member has used by day and GPU class, and what is left of their budgets.",
            description="Your own, or that of a member of a workspace that you may read.",
            scopes=(*OWN, Action.READ),
            query=Whose,
            example={"user": "ada", "days": 7},
            answer=Usage,
            errors=(404, 503),
        )
    }

    async def get(self) -> None:
        """Of whoever asks, or of ``?user=``."""
        asked = self.query(Whose)
        launcher = await self.ready_launcher()
        about, now = subject_of(self, asked.user, asked.workspace), launcher.now()
        report = await usage_report(
            about.user,
            about.workspaces,
            about.sessions,
            Days.up_to(now, asked.days, launcher.settings.timezone),
            store=launcher.store,
            settings=launcher.settings,
            accounts=launcher.accounts,
            now=now,
        )
        self.answer(report.as_json())


class HistoryHandler(ApiHandler):
    """Sessions, past and running."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="Sessions, past and running, the last one launched first.",
            description="Your own, or those in workspaces that you may read; `?format=csv` is a file for spreadsheets.",
            scopes=(*OWN, Action.READ),
            query=Which,
            example={"user": "ada", "limit": 20},
            answer=History,
            media=(JSON, CSV),
            errors=(404, 503),
        )
    }

    async def get(self) -> None:
        """A page of them, or all of them as CSV."""
        asked = self.query(Which)
        launcher = await self.ready_launcher()
        settings, accounts, now = launcher.settings, launcher.accounts, launcher.now()
        where = self._filter(asked, settings.timezone)
        if asked.format == "csv":
            every = every_session(launcher.store, where, settings, accounts, now)
            pages = ([line.as_json() for line in lines] async for lines in every)
            await send_csv(self, "sessions.csv", COLUMNS, pages)
            return
        page = await sessions_page(launcher.store, where, settings, accounts, now, after=asked.after, limit=asked.limit)
        self.answer({"items": [line.as_json() for line in page.rows], "next": page.next})

    def _filter(self, asked: Which, timezone: ZoneInfo) -> SessionFilter:
        """What may be seen of what is asked for."""
        if asked.user is not None or (asked.workspace is None and hasattr(self.current_user, "spawner")):
            where = subject_of(self, asked.user, asked.workspace).sessions
        else:
            self.require(Action.READ, asked.workspace)
            where = SessionFilter(workspace=asked.workspace)
        return replace(
            where,
            gpu_class=asked.gpu_class,
            since=day_begins(asked.since, timezone),
            until=day_begins(asked.until, timezone, after=1),
        )
