"""What a workspace has spent in the present period of its budget and in those before it."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.period import first_day, midnight, next_first_day
from gpuspawner.budgets.pricing import micro_of
from gpuspawner.config import Settings
from gpuspawner.ledger.records import SessionFilter
from gpuspawner.ledger.store import Store
from gpuspawner.reports.use import NO_GPU
from gpuspawner.workspace import Budget, Workspace

__all__ = ["PERIODS", "Spending", "SpentInPeriod", "spending"]

PERIODS = 8


@dataclass(frozen=True, slots=True)
class SpentInPeriod:
    """One period, from ``first`` to ``last``, both included, and what was spent of each GPU class in micro-units."""

    first: date
    last: date
    by_class: Mapping[str, int]

    @property
    def micro(self) -> int:
        """All of it."""
        return sum(self.by_class.values())


@dataclass(frozen=True, slots=True)
class Spending:
    """The periods, the present one last. ``pool`` is what all members share in each, None where nothing bounds them
    together; in micro-units."""

    periods: tuple[SpentInPeriod, ...]
    pool: int | None

    @property
    def classes(self) -> list[str]:
        """Those for which anything was spent."""
        return list(dict.fromkeys(name for period in self.periods for name, micro in period.by_class.items() if micro))


async def spending(
    workspace: Workspace, store: Store, settings: Settings, accounts: Accounts, now: datetime
) -> Spending | None:
    """What its members have spent together, running servers until now; None where its budget has no periods.

    Raises
    ------
    StoreUnavailableError
    """
    budget = workspace.budget
    if budget is None or not budget.bounds or budget.renews in ("rolling", "never"):
        return None
    days = _first_days(budget, workspace, settings, now)
    times = [midnight(day, settings.timezone) for day in days]
    where = SessionFilter(workspace=workspace.name, settled=True)
    found = [
        {use.name or NO_GPU: use.charged for use in period}
        for period in await store.usage_between(where, times, by="gpu_class")
    ]
    for session, _, gpu_class, cost in accounts.running(workspace.name, now):
        place = bisect_right(times, session.opened) - 1
        if 0 <= place < len(found):
            name = gpu_class or NO_GPU
            found[place][name] = found[place].get(name, 0) + cost
    periods = [
        SpentInPeriod(first, following - timedelta(days=1), by_class)
        for (first, following), by_class in zip(pairwise(days), found, strict=True)
    ]
    return Spending(tuple(periods), None if budget.pool is None else micro_of(budget.pool))


def _first_days(budget: Budget, workspace: Workspace, settings: Settings, now: datetime) -> list[date]:
    """The first days of the periods, and of the one to come."""
    first = first_day(budget, now, settings.timezone)
    following = next_first_day(budget, first)
    days = [following or now.astimezone(settings.timezone).date() + timedelta(days=1)]
    while len(days) <= PERIODS and first != date.min:
        days.append(first)
        if workspace.starts is not None and first <= workspace.starts:
            break
        first = first_day(budget, midnight(first, settings.timezone) - timedelta(hours=12), settings.timezone)
    return days[::-1]
