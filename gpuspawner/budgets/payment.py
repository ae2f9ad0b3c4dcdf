"""Can a launch be paid? What it costs at most, whether its budgets cover that, and what would fit instead. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.pricing import MICRO, Price, price_of, say_units
from gpuspawner.config import SECTION, Settings
from gpuspawner.limits.checks import day_of, gpus_of, place_of
from gpuspawner.limits.trace import Check, Unit, say_time
from gpuspawner.quantity import format_duration, say_cores, say_gpus
from gpuspawner.request import LaunchRequest, grants
from gpuspawner.workspace import Budget, Workspace

__all__ = ["Payment", "bills_of", "payment_of", "say_period"]

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Payment:
    """What a launch approves: the tariff, of the classes it can pay only; ``cost`` micro-units at most, which are held;
    and ``runtime`` seconds that this pays for, fewer than it asked for where its budget ends a session that uses it up.
    """

    price: Price
    cost: int
    runtime: int


def bills_of(
    request: LaunchRequest, settings: Settings, accounts: Accounts, now: datetime
) -> dict[str | None, list[Check]]:
    """Whether the budgets of the member and of the workspace cover a launch on each of its classes; without GPU: None.

    A launch that costs nothing is always covered. Where a used up budget ends a session, and covers it on none of the
    classes, it is enough that it covers the shortest one.
    """
    workspace = settings.workspaces[request.workspace]
    budget, classes = workspace.budget, request.gpu_classes or (None,)
    if budget is None:
        return {name: [] for name in classes}
    cashiers = {name: _Cashier(request, name, workspace, budget, settings, accounts, now) for name in classes}
    bills = {name: list(cashier.checks()) for name, cashier in cashiers.items()}
    if budget.when_used_up == "end" and not any(all(check.allowed for check in bill) for bill in bills.values()):
        return {name: list(cashier.checks(may_end_early=True)) for name, cashier in cashiers.items()}
    return bills


def payment_of(
    request: LaunchRequest, gpu_classes: tuple[str, ...], settings: Settings, accounts: Accounts | None, now: datetime
) -> Payment:
    """What a launch approves that may land on these classes, each of which its budgets cover."""
    price = price_of(settings, gpu_classes)
    budget, left = settings.workspaces[request.workspace].budget, None
    if accounts is not None and budget is not None and budget.when_used_up == "end":
        left = accounts.left(request.workspace, request.user, now)
    runtime = request.runtime
    if left is not None and price.ceiling(gpu_classes, request.gpus, request.cpu, now, runtime) > left:
        runtime = _whole_minutes(price.lasts(gpu_classes, request.gpus, request.cpu, now, runtime, left))
    return Payment(price, price.ceiling(gpu_classes, request.gpus, request.cpu, now, runtime), runtime)


def say_period(budget: Budget) -> str:
    """When a budget's units are to be spent: ``"this week"``; empty where it does not renew."""
    if budget.renews == "rolling":
        return f"these {budget.window} days" if budget.window > 1 else "today"
    words = {"weekly": "this week", "monthly": "this month", "quarterly": "this quarter", "terms": "this term"}
    return words.get(budget.renews, "")


def _whole_minutes(seconds: int) -> int:
    return seconds // _MINUTE * _MINUTE or seconds


class _Cashier:
    """One launch, on one class, at the budgets that pay it."""

    def __init__(
        self,
        request: LaunchRequest,
        gpu_class: str | None,
        workspace: Workspace,
        budget: Budget,
        settings: Settings,
        accounts: Accounts,
        now: datetime,
    ) -> None:
        self.request, self.gpu_class, self.workspace, self.budget = request, gpu_class, workspace, budget
        self.settings, self.accounts, self.now = settings, accounts, now
        self.cost = self._ceiling(gpu_class, request.gpus)

    def checks(self, *, may_end_early: bool = False) -> Iterator[Check]:
        """One check for each budget that the launch needs something of."""
        if not self.cost:
            return
        left = self.accounts.left(self.workspace.name, self.request.user, self.now) or 0
        for key, user in (("per_member", self.request.user), ("pool", None)):
            member = None if user is None else self.accounts.member(self.workspace.name, user, self.now)
            account = member if user else self.accounts.pool(self.workspace.name, self.now)
            if account is None:
                continue
            allowed = self.cost <= account.left or (may_end_early and self._pays_for_some(account.left))
            yield Check(
                limit=f"workspace.budget.{key}",
                unit=Unit.UNITS,
                value=account.total / MICRO,
                used=(account.spent + account.held) / MICRO,
                asked=self.cost / MICRO,
                allowed=allowed,
                rule=f"{SECTION}.{place_of(self.workspace)}.budget.{key}",
                gpu_class=self.gpu_class or "",
                allowed_from=None if allowed else self._covered_from,
                reason="" if allowed else self._reason(account, own=user is not None),
                remedy="" if allowed else self._remedy(left),
            )

    def _ceiling(self, gpu_class: str | None, gpus: int) -> int:
        classes = () if gpu_class is None else (gpu_class,)
        price = price_of(self.settings, classes)
        return price.ceiling(classes, gpus, self.request.cpu, self.now, self.request.runtime)

    def _pays_for_some(self, left: int) -> bool:
        shortest = self.settings.catalog.profiles[self.request.profile].runtime.min
        return self._lasts(left) >= min(shortest, self.request.runtime)

    def _lasts(self, left: int) -> int:
        """Seconds that so much pays for."""
        classes, request = () if self.gpu_class is None else (self.gpu_class,), self.request
        price = price_of(self.settings, classes)
        return price.lasts(classes, request.gpus, request.cpu, self.now, request.runtime, left)

    def _reason(self, account: Account, *, own: bool) -> str:
        what = say_cores(self.request.cpu)
        if self.gpu_class is not None:
            what = gpus_of(self.request.gpus, self.gpu_class, self.settings)
        runtime, cost = format_duration(self.request.runtime), say_units(self.cost, up=True)
        total, left = say_units(account.total), say_units(account.left)
        period = f" {say_period(self.budget)}".rstrip()
        title = self.workspace.title
        of = f"your {total} in {title}" if own else f"the {total} that all members of {title} share"
        verb = "cost" if self.gpu_class is None or self.request.gpus > 1 else "costs"
        return f"{what} for {runtime} {verb} {cost}; of {of}{period}, {left} {'is' if left == '1 SU' else 'are'} left."

    def _remedy(self, left: int) -> str:
        """What would fit: less time, fewer GPUs, another class, none, or later; else whom to ask."""
        ways = list(self._ways(left))
        since = self._covered_from
        if since is not None:
            at = say_time(since, self.now.astimezone(self.settings.timezone))
            ways.append(f"wait until {at}, when {'enough of it' if self.budget.renews == 'rolling' else 'it'} renews")
        if not ways:
            return "Ask the managers of the workspace, or the administrator, for more."
        *first, last = ways
        sentence = f"{', '.join(first)}, or {last}" if first else last
        return f"{sentence[0].upper()}{sentence[1:]}."

    def _ways(self, left: int) -> Iterator[str]:
        request, profile = self.request, self.settings.catalog.profiles[self.request.profile]
        lasts = _whole_minutes(self._lasts(left))
        if lasts >= profile.runtime.min:
            yield f"ask for at most {format_duration(lasts)}"
        fewer = range(request.gpus - 1, max(profile.gpus.min, 1) - 1, -1)
        affordable = (n for n in fewer if self._ceiling(self.gpu_class, n) <= left)
        if (most := next(affordable, None)) is not None:
            yield f"ask for {say_gpus(most)}"
        others = grants(self.workspace, profile, self.settings, day_of(self.now, self.settings)) if request.gpus else ()
        costs = {name: self._ceiling(name, request.gpus) for name in others if name not in request.gpu_classes}
        fits = [name for name, cost in costs.items() if cost <= left]
        if fits:
            name = max(fits, key=lambda one: costs[one])
            title = self.settings.catalog.gpu_classes[name].title
            yield f"choose {title}, which costs {say_units(costs[name], up=True)}"
        if request.gpus and not profile.gpus.min and self._ceiling(None, 0) <= left:
            yield "start without a GPU"

    @cached_property
    def _covered_from(self) -> datetime | None:
        """When all budgets cover the launch if nothing else is spent until then; None: never."""
        whose = (self.request.user, None)
        times = [self.accounts.when(self.workspace.name, user, self.cost, self.now) for user in whose]
        known = [at for at in times if at is not None]
        return max(known) if len(known) == len(times) else None
