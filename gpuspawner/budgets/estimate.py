"""What a launch would cost and what is left to pay it, in words and as plain values, before anything starts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.payment import bills_of, payment_of, say_period
from gpuspawner.budgets.pricing import MICRO, price_of, say_units
from gpuspawner.config import Settings
from gpuspawner.limits.trace import Check, say_time
from gpuspawner.quantity import format_duration
from gpuspawner.request import LaunchRequest
from gpuspawner.workspace import Workspace

__all__ = ["Estimate", "account_as_json", "balance_as_json", "estimate", "say_balance", "say_cost"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a launch that began now would approve: ``cost`` micro-units at most for ``runtime`` seconds, and what it
    would cost on each class.

    ``runtime`` is less than was asked for where the budget ends the session. ``left`` is what its budgets leave before
    it, None without budget. ``refused`` is empty where they cover it; else the checks of its classes that fail.
    """

    request: LaunchRequest
    cost: int
    runtime: int
    by_class: Mapping[str, int]
    left: int | None
    balance: str
    refused: tuple[Check, ...]

    @property
    def sentence(self) -> str:
        """The cost and what is left, for a person; where it is not covered, why."""
        if self.refused:
            return " ".join(dict.fromkeys(check.reason for check in self.refused))
        if not self.cost:
            return "This launch costs nothing."
        runtime = format_duration(self.runtime)
        cost = (
            f"This launch costs {say_units(self.cost, up=True)} at most, for {runtime}; you pay for the time you use."
        )
        if self.runtime < self.request.runtime:
            cost = f"Your budget lasts for {runtime} of the {format_duration(self.request.runtime)} you ask for. {cost}"
        return f"{cost} {self.balance}".rstrip()

    @property
    def remedy(self) -> str:
        """What would fit instead; empty where it is covered."""
        return self.refused[0].remedy if self.refused else ""

    def as_json(self) -> dict[str, Any]:
        """For the API, amounts in service units."""
        return {
            "cost": self.cost / MICRO,
            "runtime": self.runtime,
            "by_class": {name: cost / MICRO for name, cost in self.by_class.items()},
            "left": None if self.left is None else self.left / MICRO,
            "covered": not self.refused,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "checks": [check.as_json() for check in self.refused],
        }


def estimate(request: LaunchRequest, settings: Settings, accounts: Accounts, now: datetime) -> Estimate:
    """What a checked request would cost if it began now. Quotas and other limits are not looked at."""
    price = price_of(settings, request.gpu_classes)
    bills = bills_of(request, settings, accounts, now)
    failed = {name: [check for check in bill if not check.allowed] for name, bill in bills.items()}
    covered = tuple(name for name in request.gpu_classes if not failed[name])
    refused = () if not all(failed.values()) else tuple(found[0] for found in failed.values())
    payment = payment_of(request, covered if not refused else request.gpu_classes, settings, accounts, now)
    amounts = (request.gpus, request.cpu, now, request.runtime)
    return Estimate(
        request=request,
        cost=price.ceiling(request.gpu_classes, *amounts) if refused else payment.cost,
        runtime=request.runtime if refused else payment.runtime,
        by_class={name: price.ceiling((name,), *amounts) for name in request.gpu_classes},
        left=accounts.left(request.workspace, request.user, now),
        balance=say_balance(settings.workspaces[request.workspace], request.user, settings, accounts, now),
        refused=refused,
    )


def say_cost(request: LaunchRequest, settings: Settings, accounts: Accounts, now: datetime) -> str:
    """``"at most 3 SU"``; empty where no budget pays, or nothing is due."""
    found = estimate(request, settings, accounts, now)
    return f"at most {say_units(found.cost, up=True)}" if found.left is not None and found.cost else ""


def say_balance(workspace: Workspace, user: str, settings: Settings, accounts: Accounts, now: datetime) -> str:
    """What is left to a member in a workspace: ``"7.5 of your 10 SU are left this week; it renews on 30 November."``

    Empty without budget.
    """
    member, pool = accounts.member(workspace.name, user, now), accounts.pool(workspace.name, now)
    if workspace.budget is None or (member is None and pool is None):
        return ""
    period, parts = say_period(workspace.budget), []
    if member is not None:
        parts.append(f"{_bare(member.left)} of your {say_units(member.total)}")
    if pool is not None:
        parts.append(f"{_bare(pool.left)} of the {say_units(pool.total)} that all members share")
    sentence = f"{' and '.join(parts)} are left {period}".rstrip()
    renewals = [account.renews for account in (member, pool) if account is not None and account.renews is not None]
    if renewals:
        when = say_time(min(renewals), now.astimezone(settings.timezone))
        sentence += f"; {'more comes back' if workspace.budget.renews == 'rolling' else 'it renews'} on {when}"
    return f"{sentence}."


def _bare(micro: int) -> str:
    return say_units(micro).removesuffix(" SU")


def balance_as_json(
    user: str, workspaces: Iterable[Workspace], settings: Settings, accounts: Accounts, now: datetime
) -> list[dict[str, Any]]:
    """What is left to a member in each of these workspaces, in service units."""
    return [
        {
            "workspace": space.name,
            "title": space.title,
            "member": account_as_json(accounts.member(space.name, user, now), accounts.so_far(space.name, user, now)),
            "pool": account_as_json(accounts.pool(space.name, now), accounts.so_far(space.name, None, now)),
            "sentence": say_balance(space, user, settings, accounts, now),
        }
        for space in workspaces
    ]


def account_as_json(account: Account | None, so_far: int) -> dict[str, Any] | None:
    """A balance in service units, times as RFC 3339; ``so_far`` micro-units have really been used."""
    if account is None:
        return None
    times = {"begins": account.period.begins, "ends": account.period.ends, "renews": account.renews}
    amounts = {
        "allowance": account.allowance,
        "carried": account.carried,
        "granted": account.granted,
        "total": account.total,
        "spent": account.spent,
        "held": account.held,
        "used": so_far,
        "left": account.left,
    }
    return {
        **{name: amount / MICRO for name, amount in amounts.items()},
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }
