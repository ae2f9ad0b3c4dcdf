"""The periods of a budget: on which days they begin, and the instants of those days' midnights."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gpuspawner.workspace import Budget, Workspace

__all__ = ["Period", "first_day", "midnight", "next_first_day", "period_of"]


@dataclass(frozen=True, slots=True)
class Period:
    """From ``begins`` to just before ``ends``, in UTC; None: since ever, or for ever."""

    begins: datetime | None
    ends: datetime | None


def period_of(budget: Budget, at: datetime, timezone: ZoneInfo, workspace: Workspace) -> Period:
    """The period that ``at`` belongs to. It begins and ends at midnight in ``timezone``, whatever the clocks do.

    A budget that never renews lasts from the workspace's first day to its last. A rolling one's period is the days that
    count now.
    """
    first = first_day(budget, at, timezone)
    following = next_first_day(budget, first)
    if budget.renews == "rolling":
        first -= timedelta(days=budget.window - 1)
    if budget.renews == "never" and workspace.ends is not None:
        following = workspace.ends + timedelta(days=1)
    begins = workspace.starts if first == date.min else first
    return Period(
        None if begins is None else midnight(begins, timezone),
        None if following is None else midnight(following, timezone),
    )


def midnight(day: date, timezone: ZoneInfo) -> datetime:
    """When a day begins, in UTC. Where the clocks skip its midnight, that is when they do."""
    return datetime.combine(day, time(), timezone).astimezone(UTC)


def first_day(budget: Budget, at: datetime, timezone: ZoneInfo) -> date:
    """The first day of what is counted together: of the period, ``date.min`` where it began before all times; of a
    rolling budget each day is counted by itself."""
    day = at.astimezone(timezone).date()
    match budget.renews:
        case "weekly":
            return day - timedelta(days=day.weekday())
        case "monthly":
            return day.replace(day=1)
        case "quarterly":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "terms":
            return max((term for term in budget.terms if term <= day), default=date.min)
        case "rolling":
            return day
        case "never":
            return date.min


def next_first_day(budget: Budget, first: date) -> date | None:
    """The first day after ``first``, which is one itself; None where none follows."""
    match budget.renews:
        case "weekly":
            return first + timedelta(days=7)
        case "monthly":
            return (first + timedelta(days=31)).replace(day=1)
        case "quarterly":
            return (first + timedelta(days=93)).replace(day=1)
        case "terms":
            return next((term for term in budget.terms if term > first), None)
        case "rolling":
            return first + timedelta(days=1)
        case "never":
            return None
