"""What launches cost a member in each workspace and what is left to pay them, for the launch form. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gpuspawner.budgets.accounts import Account, Accounts
from gpuspawner.budgets.estimate import say_balance
from gpuspawner.budgets.pricing import MICRO, price_of, say_units
from gpuspawner.config import Settings

__all__ = ["Costs", "Quote", "costs_of"]


@dataclass(frozen=True, slots=True)
class Quote:
    """What a member has in one workspace: ``left`` of ``total`` micro-units, in words, and whether a launch that costs
    more starts all the same and ends early."""

    left: int
    total: int
    sentence: str
    ends_early: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """What launches cost, where a budget pays.

    ``quotes`` go by workspace; one without budget has none. ``rates`` are micro-units per hour and GPU of a class,
    ``cpu_rate`` per hour and core of a server without GPU. ``steps``: so many seconds from now on so many millionths of
    that are due. ``off_peak`` says it in words.
    """

    quotes: Mapping[str, Quote] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)
    cpu_rate: int = 0
    steps: tuple[tuple[int, int], ...] = ((0, MICRO),)
    off_peak: str = ""

    def rate_in_words(self, gpu_class: str) -> str:
        """``"0.5 SU per GPU and hour"``; empty where nothing is paid."""
        return f"{say_units(self.rates[gpu_class], up=True)} per GPU and hour" if gpu_class in self.rates else ""


def costs_of(user: str, workspaces: Collection[str], settings: Settings, accounts: Accounts, now: datetime) -> Costs:
    """What launches that a member begins now in these workspaces cost."""
    spaces = [space for name, space in settings.workspaces.items() if name in workspaces and space.budget]
    quotes = {
        space.name: Quote(
            tightest.left,
            tightest.total,
            say_balance(space, user, settings, accounts, now),
            space.budget.when_used_up == "end",
        )
        for space in spaces
        if space.budget is not None and (tightest := _tightest(accounts, space.name, user, now)) is not None
    }
    if not quotes:
        return Costs()
    price = price_of(settings, settings.catalog.gpu_classes)
    steps: tuple[tuple[int, int], ...] = ((0, MICRO),)
    words = ""
    hours, zone = price.off_peak, settings.off_peak
    if hours is not None and zone is not None:
        begin = int(now.timestamp())
        longest = max((profile.runtime.max for profile in settings.catalog.profiles.values()), default=0)
        changes = hours.changes(begin, begin + max(longest, 1))
        steps = tuple((at - begin, hours.factor if inside else MICRO) for at, inside in changes)
        first, _, last = zone.hours.partition("-")
        elsewhere = f" ({hours.timezone})" if hours.timezone != settings.timezone.key else ""
        words = f"From {first} to {last}{elsewhere} everything costs {hours.factor / MICRO:.0%} of that."
    return Costs(quotes, price.rates, price.cpu_rate, steps, words)


def _tightest(accounts: Accounts, workspace: str, user: str, now: datetime) -> Account | None:
    """The account, of the member's own and the pool, that has less left."""
    both = accounts.member(workspace, user, now), accounts.pool(workspace, now)
    return min((one for one in both if one is not None), key=lambda one: one.left, default=None)
