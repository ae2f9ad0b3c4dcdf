"""How an account got where it is: period by period what was carried in, taken of its own, and of grants. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gpuspawner.budgets.period import midnight, next_first_day
from gpuspawner.workspace import Budget

__all__ = ["FOR_EVER", "Book", "Given", "History", "counts", "end_of", "history_of", "lasts"]

FOR_EVER = datetime.max.replace(tzinfo=UTC)
"""The end of a grant without one."""


class Given(Protocol):
    """What an account must know of a grant; the ledger's ``Grant`` is one. ``units`` are micro-units.

    It lasts from ``at`` until ``until``, or until it is ``revoked``; ``user`` is None for one to the pool.
    """

    @property
    def id(self) -> str: ...
    @property
    def workspace(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def units(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def until(self) -> datetime | None: ...
    @property
    def revoked(self) -> datetime | None: ...


@dataclass(slots=True)
class Book:
    """What one member or pool has spent and holds, by the first day of what is counted together."""

    spent: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    opened: dict[date, dict[datetime, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Both together, by when the sessions were opened."""

    def spend(self, day: date, opened: datetime, amount: int) -> None:
        """A session that was opened then has cost so much."""
        self.spent[day] += amount
        self.opened[day][opened] += amount

    def hold(self, day: date, opened: datetime, amount: int) -> None:
        """So much more is held for a session that was opened then; less where it is negative."""
        self.held[day] += amount
        self.opened[day][opened] += amount

    def days(self) -> set[date]:
        """The days on which anything was opened."""
        return {*self.spent, *self.held}

    def used(self, day: date) -> int:
        """What is spent and held of one day."""
        return self.spent.get(day, 0) + self.held.get(day, 0)


@dataclass(slots=True)
class History:
    """What each period was passed by the one before (``carried``), and took of its own (``own``) and of grants
    (``taken``), by its first day; and what is left of each grant. Complete for ``day``."""

    day: date
    begin: date | None
    grants: dict[str, int]
    carried: dict[date, int] = field(default_factory=dict)
    own: dict[date, int] = field(default_factory=dict)
    taken: dict[date, int] = field(default_factory=dict)

    def tells(self, budget: Budget, day: date) -> bool:
        """Whether it is complete for another day, too."""
        return day == self.day or (budget.renews != "rolling" and day in self.carried)


def history_of(
    budget: Budget,
    allowance: int,
    cap: int,
    book: Book,
    grants: Sequence[Given],
    timezone: ZoneInfo,
    day: date,
    begin: date | None,
) -> History:
    """Go through the periods in their order, up to the latest one known.

    Each takes of its own first, which is the ``allowance`` and up to ``cap`` of what the one before has left, ``begin``
    being the first that passes anything on; and then of the grants that last in it, those that end first before the
    others. Grants are spent once over all periods, and pay for what was opened before they ended.
    """
    history = History(day, begin, {grant.id: grant.units for grant in grants})
    in_order = sorted(grants, key=lambda grant: (end_of(grant), grant.id))
    rolling, window = budget.renews == "rolling", timedelta(days=budget.window)
    days = {day, *book.days()}
    if cap:
        days = set(_every(budget, min(begin or day, day), max(days)))
    elif rolling:
        earliest = min([day, *(grant.at.astimezone(timezone).date() for grant in grants)])
        days = {one for one in days if one > earliest - 2 * window}
    carried, before, recent = 0, 0, deque[date]()
    for one in sorted(days):
        while recent and recent[0] <= one - window:
            before -= history.own[recent.popleft()]
        base, used = max(0, allowance + carried - before), book.used(one)
        own = min(used, base)
        over = used - own
        lasting = [grant for grant in in_order if lasts(grant, budget, one, timezone)] if over else []
        for opened, amount in _beyond(own, book.opened[one], lasting) if lasting else ():
            for grant in lasting:
                if end_of(grant) > opened:
                    taken = min(amount, history.grants[grant.id])
                    history.grants[grant.id] -= taken
                    amount -= taken
                    over -= taken
        history.carried[one], history.own[one], history.taken[one] = carried, own, used - own - over
        carried = min(cap, base - own)
        if rolling:
            recent.append(one)
            before += own
    return history


def _beyond(own: int, opened: Mapping[datetime, int], grants: Sequence[Given]) -> Iterator[tuple[datetime, int]]:
    """What a period used beyond its own, in the order of time, split where one of the grants ends."""
    ends, index, beyond = [end_of(grant) for grant in grants], 0, 0
    last = datetime.min.replace(tzinfo=UTC)
    for at in sorted(opened):
        while index < len(ends) and ends[index] <= at:
            index += 1
            if beyond:
                yield last, beyond
                beyond = 0
        paid = min(own, opened[at])
        own -= paid
        beyond += opened[at] - paid
        last = at
    if beyond:
        yield last, beyond


def end_of(grant: Given) -> datetime:
    """When a grant ends, by its date or by being revoked."""
    return min((end for end in (grant.until, grant.revoked) if end is not None), default=FOR_EVER)


def lasts(grant: Given, budget: Budget, day: date, timezone: ZoneInfo) -> bool:
    """Whether a grant lasts at any time of what is counted together from a first day on."""
    following = next_first_day(budget, day)
    begun = following is None or grant.at < midnight(following, timezone)
    return begun and (day == date.min or end_of(grant) > midnight(day, timezone))


def counts(budget: Budget, one: date, day: date) -> bool:
    """Whether what was opened on one first day counts on another: in the same period, or on one of the last days."""
    return one == day or (budget.renews == "rolling" and day - timedelta(days=budget.window) < one < day)


def _every(budget: Budget, first: date, last: date) -> Iterator[date]:
    """Each first day from one to another."""
    at: date | None = first
    while at is not None and at <= last:
        yield at
        at = next_first_day(budget, at)
