"""``/hub/api/gpuspawner/audit``: who did what, when, and to whom."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from gpuspawner.config import Settings
from gpuspawner.ledger.records import AuditFilter
from gpuspawner.ledger.store import Store
from gpuspawner.membership.roles import Action
from gpuspawner.reports.audit import COLUMNS, audit_filter, audit_lines
from gpuspawner.schema import Day
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import CSV, JSON, Answer, Operation, Operations, Paged, Pages
from gpuspawner.web.downloads import send_csv

__all__ = ["AuditHandler"]

_PAGE = 1000


class WhichEntries(Paged):
    """Which entries of the audit log."""

    actor: str = Field(default="", description="By this user, or `service:NAME`.")
    action: str = Field(default="", description="Of this kind, such as `grant`, `denial` or `stop`.")
    user: str = Field(default="", description="About this user.")
    workspace: str = Field(default="", description="About this workspace.")
    since: Day | None = Field(default=None, description="On this day or later, in the hub's time zone.")
    until: Day | None = Field(default=None, description="On this day or before.")
    format: Literal["json", "csv"] = Field(default="json", description="`csv`: all of them as one file.")


class AuditEntry(Answer):
    """One entry."""

    id: str
    at: AwareDatetime
    actor: str = Field(description="Who did it: a user, `service:NAME`, or the hub itself.")
    action: str
    user: str | None = Field(description="Whom it is about.")
    workspace: str | None
    sentence: str = Field(description="What was done, for people.")
    details: dict[str, Any] = Field(description="As they were kept; the keys depend on the action.")


class AuditPage(Pages[AuditEntry]):
    """Entries, the newest first."""


class AuditHandler(ApiHandler):
    """The audit log."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The audit log: grants, charges, refusals, stops, changes of membership and roles.",
            description="Of all workspaces, or with `workspace` of one that you may read.",
            scopes=(Action.READ,),
            query=WhichEntries,
            example={"workspace": "cse151a", "action": "grant"},
            answer=AuditPage,
            errors=(503,),
            media=(JSON, CSV),
        )
    }

    async def get(self) -> None:
        """A page of them, or with ``?format=csv`` all."""
        asked = self.query(WhichEntries)
        self.require(Action.READ, asked.workspace or None)
        launcher = await self.ready_launcher()
        settings, store = launcher.settings, launcher.store
        where = audit_filter(
            actor=asked.actor,
            action=asked.action,
            user=asked.user,
            workspace=asked.workspace,
            since=asked.since,
            until=asked.until,
            timezone=settings.timezone,
        )
        if asked.format == "csv":
            await send_csv(self, "audit.csv", COLUMNS, _all(store, where, settings))
            return
        page = await store.audit(where, after=asked.after, limit=asked.limit)
        lines = audit_lines(page.rows, settings)
        self.answer({"items": [line.as_json() for line in lines], "next": page.next})


async def _all(store: Store, where: AuditFilter, settings: Settings) -> AsyncIterator[Iterable[Mapping[str, Any]]]:
    after: str | None = None
    while True:
        page = await store.audit(where, after=after, limit=_PAGE)
        yield [line.as_json() for line in audit_lines(page.rows, settings)]
        after = page.next
        if after is None:
            return
