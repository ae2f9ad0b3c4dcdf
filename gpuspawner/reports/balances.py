"""What is spent, held and left of each budget. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.estimate import account_as_json, say_balance
from gpuspawner.budgets.payment import say_period
from gpuspawner.config import Settings
from gpuspawner.limits.trace import say_time
from gpuspawner.quantity import say_units
from gpuspawner.workspace import Workspace

__all__ = ["Balance", "BudgetLine", "balance_of", "budget_lines"]


@dataclass(frozen=True, slots=True)
class Balance:
    """One account as a bar shows it, in micro-units, which add up to ``total``.

    ``used`` was charged, or has accrued until now; ``held`` is what running and waiting servers may take beyond that.
    """

    account: Account
    used: int
    period: str
    renews: str

    @property
    def total(self) -> int:
        """What there is to spend in the period."""
        return self.account.total

    @property
    def held(self) -> int:
        """What is held and not used yet."""
        return max(0, self.account.spent + self.account.held - self.used)

    @property
    def left(self) -> int:
        """What a launch may still cost."""
        return self.account.left

    @property
    def sentence(self) -> str:
        """``"7.5 of 10 SU left this week; renews on 30 November"``."""
        left = f"{say_units(self.left).removesuffix(' SU')} of {say_units(self.total)} left"
        return "; ".join(part for part in (f"{left} {self.period}".rstrip(), self.renews) if part)


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """The budgets of a member in one workspace: their own, and the one all members share; None where there is none."""

    workspace: str
    title: str
    member: Balance | None
    pool: Balance | None
    sentence: str

    @property
    def free(self) -> bool:
        """Whether no budget bounds what is started there."""
        return self.member is None and self.pool is None

    def as_json(self) -> dict[str, Any]:
        """For the API, in service units."""
        return {
            "workspace": self.workspace,
            "title": self.title,
            "member": self.member and account_as_json(self.member.account, self.member.used),
            "pool": self.pool and account_as_json(self.pool.account, self.pool.used),
            "sentence": self.sentence,
        }


def balance_of(
    workspace: Workspace, user: str | None, settings: Settings, accounts: Accounts, now: datetime
) -> Balance | None:
    """The account of a member, or (None) of the pool; None where there is none."""
    account = accounts.pool(workspace.name, now) if user is None else accounts.member(workspace.name, user, now)
    if account is None or workspace.budget is None:
        return None
    renews = ""
    if account.renews is not None:
        verb = "more comes back" if workspace.budget.renews == "rolling" else "renews"
        renews = f"{verb} on {say_time(account.renews, now.astimezone(settings.timezone))}"
    return Balance(account, accounts.so_far(workspace.name, user, now), say_period(workspace.budget), renews)


def budget_lines(
    user: str, workspaces: Iterable[Workspace], settings: Settings, accounts: Accounts, now: datetime
) -> tuple[BudgetLine, ...]:
    """The budgets of a member in these workspaces."""
    return tuple(
        BudgetLine(
            space.name,
            space.title,
            balance_of(space, user, settings, accounts, now),
            balance_of(space, None, settings, accounts, now),
            say_balance(space, user, settings, accounts, now),
        )
        for space in workspaces
    )
