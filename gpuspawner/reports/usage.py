"""What one person has used and what is left to them: budgets, use by day and GPU class, sessions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.config import Settings
from gpuspawner.ledger.records import SessionFilter
from gpuspawner.ledger.store import Store
from gpuspawner.reports.balances import BudgetLine, budget_lines
from gpuspawner.reports.days import Days
from gpuspawner.reports.use import UseOverDays, use_over_days
from gpuspawner.workspace import Workspace

__all__ = ["UsageReport", "usage_report"]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What ``user`` has used over some days, and the budgets of their workspaces as they are ``at`` this time."""

    user: str
    at: datetime
    budgets: tuple[BudgetLine, ...]
    use: UseOverDays

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "user": self.user,
            "at": self.at.isoformat(timespec="seconds"),
            "workspaces": [line.as_json() for line in self.budgets],
            "use": self.use.as_json(),
        }


async def usage_report(
    user: str,
    workspaces: Iterable[Workspace],
    where: SessionFilter,
    days: Days,
    *,
    store: Store,
    settings: Settings,
    accounts: Accounts,
    now: datetime,
) -> UsageReport:
    """The sessions of a filter summed up, and the budgets of these workspaces. Raises ``StoreUnavailableError``."""
    use = await use_over_days(store, where, days, settings, accounts, now)
    return UsageReport(user, now, budget_lines(user, workspaces, settings, accounts, now), use)
