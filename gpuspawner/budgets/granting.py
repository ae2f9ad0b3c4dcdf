"""A grant that somebody asks for, checked against the budgets there are; and grants as plain values. Pure."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gpuspawner.budgets.period import midnight
from gpuspawner.budgets.pricing import MICRO, micro_of, say_units
from gpuspawner.config import Settings
from gpuspawner.errors import BadRequestError
from gpuspawner.ledger.records import Grant, new_id
from gpuspawner.limits.trace import say_time
from gpuspawner.schema import Schema, nearest

__all__ = ["GrantRequest", "grant_as_json", "grant_of", "say_grant"]

_MOST = 1e9


def _until(value: Any) -> Any:
    """A day, or a time in RFC 3339."""
    if not isinstance(value, str):
        raise ValueError('a day such as 2026-12-18, or a time such as "2026-12-18T18:00:00-08:00"')
    return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)


def _aware(value: date | datetime) -> date | datetime:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a time with its offset from UTC, such as 2026-12-18T18:00:00-08:00")
    return value


class GrantRequest(Schema):
    """What is granted to a member of a workspace, or without ``user`` to its pool."""

    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] = Field(
        default_factory=new_id, description="Of the one who asks, so that a repeat grants nothing twice."
    )
    workspace: str
    user: str | None = None
    units: float = Field(gt=0, le=_MOST, description="Service units.")
    until: Annotated[
        date | datetime | None,
        BeforeValidator(_until, json_schema_input_type=date | datetime | None),
        AfterValidator(_aware),
    ] = Field(default=None, description="The last day, included, or an instant; without it, until it is used.")
    reason: str = Field(min_length=1, max_length=500)


def grant_of(asked: GrantRequest, settings: Settings, by: str, now: datetime) -> Grant:
    """The grant, from now on.

    Raises
    ------
    BadRequestError
        Where there is no such budget to add to, or it would be over already.
    """
    space = settings.workspaces.get(asked.workspace)
    if space is None:
        raise BadRequestError(
            f"There is no workspace {asked.workspace[:100]!r}{nearest(asked.workspace, settings.workspaces)}.",
            "Correct the name.",
        )
    budget = space.budget
    if budget is None or (budget.pool if asked.user is None else budget.per_member) is None:
        kind, key = ("pool", "pool") if asked.user is None else ("budget per member", "per_member")
        raise BadRequestError(
            f"{space.title} has no {kind}: its launches are not bounded by one.",
            f"Give it one first (workspaces[{space.name!r}].budget.{key}), or grant to another workspace.",
        )
    until = asked.until
    if until is not None and not isinstance(until, datetime):
        until = midnight(until + timedelta(days=1), settings.timezone)
    if until is not None and until <= now:
        raise BadRequestError(f"The grant would have been over on {asked.until}.", "Name a day that is to come.")
    if not asked.reason.strip():
        raise BadRequestError("A grant needs a reason, for whoever reads the audit log.", "Say why.")
    return Grant(
        id=asked.id,
        workspace=space.name,
        user=asked.user,
        units=micro_of(asked.units),
        until=until,
        reason=asked.reason.strip(),
        by=by,
        at=now,
    )


def grant_as_json(grant: Grant) -> dict[str, Any]:
    """For the API: service units, times as RFC 3339."""

    def say(at: datetime | None) -> str | None:
        return None if at is None else at.isoformat(timespec="seconds")

    return {
        "id": grant.id,
        "workspace": grant.workspace,
        "user": grant.user,
        "units": grant.units / MICRO,
        "at": say(grant.at),
        "until": say(grant.until),
        "reason": grant.reason,
        "by": grant.by,
        "revoked": say(grant.revoked),
    }


def say_grant(grant: Grant, settings: Settings, now: datetime) -> str:
    """What the member who got it reads."""
    space = settings.workspaces[grant.workspace]
    local = now.astimezone(settings.timezone)
    until = "" if grant.until is None else f", to be used before {say_time(grant.until, local)}"
    return f"You have been given {say_units(grant.units)} more in {space.title}{until}: {grant.reason}"
