"""Administration: grants to people and workspaces, and the audit log."""

from datetime import date
from typing import Literal

from pydantic import Field
from tornado.httputil import url_concat
from tornado.web import authenticated

from gpuspawner.budgets.granting import GrantRequest
from gpuspawner.errors import LaunchError
from gpuspawner.ledger.records import GrantFilter, new_id
from gpuspawner.quantity import say_units
from gpuspawner.reports.audit import ACTIONS, audit_filter, audit_lines
from gpuspawner.schema import Schema
from gpuspawner.web.asking import ApiError
from gpuspawner.web.granting import give, take_back
from gpuspawner.web.pages.admin import AdminPage

__all__ = ["AuditPage", "GrantsPage", "RevokePage"]

_PAGE = 25
_FIELDS = ("workspace", "user", "units", "until", "reason")


class WhichGrants(Schema):
    """Which grants."""

    workspace: str = Field(default="", max_length=200)
    user: str = Field(default="", max_length=255)
    over: Literal["", "1"] = ""
    after: str | None = Field(default=None, max_length=500)


class GrantsPage(AdminPage):
    """``/hub/gpuspawner/admin/grants``: those there are, and a form for another."""

    @authenticated
    async def get(self) -> None:
        """A page of them, the newest first; those that are over only where they are asked for."""
        await self._show(self.query(WhichGrants))

    @authenticated
    async def post(self) -> None:
        """Give one; what is wrong with the form is told above it, with what was written still in it."""
        written = {
            key: self.get_body_argument(key, "").strip() for key in ("workspace", "user", "units", "until", "reason")
        }
        asked_id = self.get_body_argument("id", "")
        sent = {key: value for key, value in {**written, "id": asked_id}.items() if value}
        try:
            grant, _ = await give(self, self.checked(GrantRequest, sent))
        except (ApiError, LaunchError) as error:
            self.set_status(error.status)
            await self._show(WhichGrants(), written, error)
            return
        space = self.launcher.settings.workspaces[grant.workspace]
        whom = grant.user or "the pool"
        self.back(self.here("grants"), f"{say_units(grant.units)} more for {whom} in {space.title}.")

    async def _show(
        self, asked: WhichGrants, written: dict[str, str] | None = None, wrong: ApiError | LaunchError | None = None
    ) -> None:
        launcher = await self.ready_launcher()
        now = launcher.now()
        where = GrantFilter(workspace=asked.workspace or None, user=asked.user or None, at=None if asked.over else now)
        page = await launcher.store.granted(where, after=asked.after, limit=_PAGE)
        query = asked.model_dump(exclude={"after"})
        paying = {
            name: space.budget
            for name, space in launcher.settings.workspaces.items()
            if space.budget is not None and space.budget.bounds
        }
        await self.show_tab(
            "grants",
            launcher,
            asked=asked,
            grants=page.rows,
            first=self.here("grants", **query) if asked.after else "",
            next=self.here("grants", **query, after=page.next) if page.next else "",
            written=written or {"workspace": asked.workspace, "user": asked.user},
            wrong=wrong,
            paying=paying,
            new_id=new_id,
            counts=lambda grant: grant.revoked is None and (grant.until is None or grant.until > now),
        )


class RevokePage(AdminPage):
    """The button beside a grant."""

    @authenticated
    async def post(self) -> None:
        """Revoke it."""
        grant = await take_back(self, self.get_body_argument("grant"))
        whom = grant.user or "the pool"
        self.back(
            self.here("grants"),
            f"The grant of {say_units(grant.units)} to {whom} is revoked.",
            remedy="What was spent of it stays paid.",
        )


class WhichEntries(Schema):
    """What is searched for in the audit log."""

    actor: str = Field(default="", max_length=255)
    action: str = Field(default="", max_length=50)
    user: str = Field(default="", max_length=255)
    workspace: str = Field(default="", max_length=200)
    since: str = Field(default="", max_length=10)
    until: str = Field(default="", max_length=10)
    after: str | None = Field(default=None, max_length=500)


class AuditPage(AdminPage):
    """``GET /hub/gpuspawner/admin/audit``: who did what, when, and to whom."""

    @authenticated
    async def get(self) -> None:
        """A page of the entries that are searched for, the newest first."""
        asked = self.query(WhichEntries)
        launcher = await self.ready_launcher()
        settings = launcher.settings
        days = {key: _day(getattr(asked, key)) for key in ("since", "until")}
        where = audit_filter(
            actor=asked.actor.strip(),
            action=asked.action,
            user=asked.user.strip(),
            workspace=asked.workspace,
            **days,
            timezone=settings.timezone,
        )
        page = await launcher.store.audit(where, after=asked.after, limit=_PAGE)
        query = asked.model_dump(exclude={"after"})
        csv = {key: value for key, value in query.items() if value and days.get(key, value)}
        await self.show_tab(
            "audit",
            launcher,
            asked=asked,
            lines=audit_lines(page.rows, settings),
            actions=ACTIONS,
            first=self.here("audit", **query) if asked.after else "",
            next=self.here("audit", **query, after=page.next) if page.next else "",
            searched=any(query.values()),
            download=str(url_concat(self.url("api", "gpuspawner", "audit"), {"format": "csv", **csv})),
        )


def _day(written: str) -> date | None:
    """A day as browsers send it; what is none is passed over, as an empty field is."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None
